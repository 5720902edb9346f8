"""The switches of a local sandbox, if the account is one: quotas and a slow hook. A real account has none."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from fleet_cloud.errors import FleetCloudError

_SECONDS = 5.0
# A proxy cannot reach this machine's loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
HOOK_SECONDS = 3.0  # of a slow one; AWS IoT gives up after 5

Switch = dict[str, object]


def is_sandbox(endpoint_url: str | None) -> bool:
    """Returns whether a sandbox answers there."""
    if not endpoint_url:
        return False
    try:
        return "faults" in _ask(endpoint_url, "GET", "faults")
    except (OSError, ValueError, TypeError):
        return False


def quotas(per_second: float) -> list[Switch]:
    """Returns what holds registrations to AWS's quotas: token buckets, a second's worth of room."""
    room = max(1.0, per_second)
    return [
        {"operation": operation, "kind": "quota", "per_second": per_second, "burst": room}
        for operation in ("create-from-csr", "create-keys", "register-thing")
    ]


def slow_hook() -> Switch:
    """Returns what makes each registration take as long as a slow hook does."""
    return {
        "operation": "register-thing", "kind": "delay", "seconds": HOOK_SECONDS, "calls": "every",
    }  # fmt: skip


@contextmanager
def switched(endpoint_url: str, switches: list[Switch]) -> Iterator[None]:
    """Switches these on for as long as the block lasts.

    Raises:
        FleetCloudError: The sandbox does not accept them.
    """
    try:
        numbers = [_ask(endpoint_url, "POST", "faults", switch)["number"] for switch in switches]
    except OSError as error:
        raise FleetCloudError(
            f"the sandbox at {endpoint_url} does not accept its quotas: {error}",
            remedy="start a sandbox of this version: python -m iot_sandbox",
            code="sandbox-unfit",
        ) from error
    try:
        yield
    finally:
        # The sandbox may have ended, and its quotas with it.
        with contextlib.suppress(OSError):
            for number in numbers:
                _ask(endpoint_url, "DELETE", f"faults/{number}")


def _ask(
    endpoint_url: str, method: str, path: str, value: Switch | None = None
) -> dict[str, object]:
    request = urllib.request.Request(  # noqa: S310 - as the user gave it
        f"{endpoint_url.rstrip('/')}/_sandbox/{path}",
        data=None if value is None else json.dumps(value).encode(),
        method=method,
    )
    with _OPENER.open(request, timeout=_SECONDS) as answer:
        found: dict[str, object] = json.load(answer)
    return found
