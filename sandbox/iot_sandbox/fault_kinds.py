"""The kinds of fault there are: where each makes sense, and what it takes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

CREATES = ("create-keys", "create-from-csr")
PROVISIONING = (*CREATES, "register-thing")
SESSION = ("connect", "subscribe", "publish")
CREDENTIALS = ("credentials",)
ANSWERED = (*PROVISIONING, "command-response")
OPERATIONS = (*ANSWERED, *SESSION, *CREDENTIALS)
# Of AWS IoT's control plane, those that are called once for each thing or certificate: method and path.
API = {
    "AttachPolicy": ("PUT", "/target-policies/{}"),
    "AttachThingPrincipal": ("PUT", "/things/{}/principals"),
    "CreateCertificateFromCsr": ("POST", "/certificates"),
    "CreateKeysAndCertificate": ("POST", "/keys-and-certificate"),
    "CreatePolicy": ("POST", "/policies/{}"),
    "CreateThing": ("POST", "/things/{}"),
    "DeleteCertificate": ("DELETE", "/certificates/{}"),
    "DeletePolicy": ("DELETE", "/policies/{}"),
    "DeleteThing": ("DELETE", "/things/{}"),
    "DescribeCertificate": ("GET", "/certificates/{}"),
    "DescribeJobExecution": ("GET", "/things/{}/jobs/{}"),
    "DescribeThing": ("GET", "/things/{}"),
    "DetachPolicy": ("POST", "/target-policies/{}"),
    "DetachThingPrincipal": ("DELETE", "/things/{}/principals"),
    "ListThingPrincipals": ("GET", "/things/{}/principals"),
    "SearchIndex": ("POST", "/indices/search"),
    "UpdateCertificate": ("PUT", "/certificates/{}"),
    "UpdateThing": ("PATCH", "/things/{}"),
}

NOT_AUTHORIZED = 135
EVERY: Literal["every"] = "every"


class FaultError(ValueError):
    """A fault that is not valid; the text says what would."""


@dataclass(frozen=True)
class Kind:
    """What one kind of fault needs.

    Attributes:
        operations: where it makes sense.
        parameters: name to default; ``...`` where there is none.
        every: whether it acts on every call by default.
    """

    operations: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    every: bool = False


KINDS = {
    "reject": Kind(
        OPERATIONS,
        {
            "status_code": 500,
            "error_code": "InternalFailure",
            "message": "The sandbox was asked to reject this.",
            "reason_code": NOT_AUTHORIZED,
        },
    ),
    "delay": Kind(OPERATIONS, {"seconds": ...}),
    "lose-answer": Kind(OPERATIONS),
    "answer-twice": Kind(ANSWERED),
    "answer-other-key": Kind(CREATES),
    "malformed": Kind(PROVISIONING + CREDENTIALS),
    "replace": Kind(PROVISIONING + CREDENTIALS, {"payload": ..., "answer": "accepted"}),
    "drop-fields": Kind(PROVISIONING + CREDENTIALS, {"fields": ...}),
    "close-before": Kind(OPERATIONS),
    "close-after": Kind(OPERATIONS),
    "quota": Kind(
        (*PROVISIONING, *CREDENTIALS, *API), {"per_second": ..., "burst": 0}, every=True
    ),
    "token-reuse": Kind(("register-thing",), {"mode": "reject"}, every=True),
    "policy-spread": Kind(SESSION, {"seconds": ...}, every=True),
    "long-token": Kind(CREDENTIALS, {"bytes": ...}),
    "expires-in": Kind(CREDENTIALS, {"seconds": ...}),
}
TOKEN_REUSE_MODES = ("idempotent", "reject", "reject-if-active")


def checked(operation: str, kind: str, given: dict[str, object]) -> dict[str, Any]:
    """Completes a fault's parameters with the defaults of its kind.

    Raises:
        FaultError: unknown operation, kind or parameter, a value missing or out of range.
    """
    if operation not in (*OPERATIONS, *API):
        there_are = ", ".join((*OPERATIONS, *API))
        raise FaultError(f"unknown operation {operation!r}; there are {there_are}")
    if kind not in KINDS:
        raise FaultError(f"unknown kind {kind!r}; there are {', '.join(KINDS)}")
    if operation not in KINDS[kind].operations:
        raise FaultError(f"{kind} is for {', '.join(KINDS[kind].operations)}, not {operation}")
    known = KINDS[kind].parameters
    if unknown := sorted(set(given) - set(known)):
        raise FaultError(
            f"{kind} does not take {', '.join(unknown)}; it takes {', '.join(known) or 'nothing'}"
        )
    merged = {**known, **given}
    if missing := [name for name, value in merged.items() if value is ...]:
        raise FaultError(f"{kind} needs {', '.join(missing)}")
    _check_values(merged)
    return merged


def _check_values(parameters: dict[str, Any]) -> None:
    for name in ("seconds", "per_second", "burst", "bytes"):
        value = parameters.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
            raise FaultError(f"{name} is a number from 0 up, not {value!r}")
    code = parameters.get("reason_code", NOT_AUTHORIZED)
    if not isinstance(code, int) or not 128 <= code <= 255:  # noqa: PLR2004  MQTT 5's failures
        raise FaultError(f"reason_code is a number from 128 to 255, not {code!r}")
    if parameters.get("mode", "reject") not in TOKEN_REUSE_MODES:
        raise FaultError(f"mode is one of {', '.join(TOKEN_REUSE_MODES)}")
    if parameters.get("answer", "accepted") not in ("accepted", "rejected"):
        raise FaultError("answer is accepted or rejected")
    fields = parameters.get("fields", [])
    if not isinstance(fields, list | tuple) or not all(isinstance(name, str) for name in fields):
        raise FaultError(f"fields is a list of names, not {fields!r}")


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def call_numbers(
    calls: Literal["every"] | int | Iterable[int] | None, *, every: bool
) -> Literal["every"] | tuple[int, ...]:
    """Reads on which calls a fault acts.

    Args:
        calls: as given.
        every: whether nothing given means every call, rather than the first.

    Raises:
        FaultError: not positive numbers.
    """
    if calls is None:
        return EVERY if every else (1,)
    if calls == EVERY:
        return EVERY
    numbers = (calls,) if isinstance(calls, int) else tuple(calls)
    if not numbers or not all(_is_count(n) for n in numbers):
        raise FaultError(f"calls is 'every', a number from 1 up, or several, not {calls!r}")
    return numbers
