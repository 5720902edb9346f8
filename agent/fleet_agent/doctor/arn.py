"""The beginning of ARNs, for policy statements that are ready to paste.

The region stands in the endpoint's name. The account stands nowhere on a device: it is given with ``--account``, or
asked of the AWS CLI where somebody has set that up; otherwise the statement says what to fill in.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess

_ENDPOINT = re.compile(r"\.iot(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$")
_LIMIT = 10.0  # seconds for the AWS CLI
UNKNOWN = "ACCOUNT"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arn:
    """What stands before the resource."""

    partition: str
    region: str
    account: str

    def statement(self, action: str, resource: str) -> dict[str, str]:
        """The policy statement that allows it."""
        arn = f"arn:{self.partition}:iot:{self.region}:{self.account}:{resource}"
        return {"Effect": "Allow", "Action": action, "Resource": arn}

    @property
    def missing(self) -> str:
        """What is to be filled in by hand, in words; empty when nothing is."""
        names = [name for name in (self.region, self.account) if name in ("REGION", UNKNOWN)]
        return (
            f" ({' and '.join(names)}: --account ID, or run it where the AWS CLI has credentials)"
            if names
            else ""
        )


def arn_of(endpoint: str, account: str | None, *, asks: bool) -> Arn:
    """Find what can be found.

    Args:
        endpoint: AWS IoT's data endpoint.
        account: Given by hand.
        asks: Whether the AWS CLI may be asked; it calls AWS with whatever credentials it has.
    """
    found = _ENDPOINT.search(endpoint)
    region = (
        found[1] if found else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    )
    is_chinese = bool(found and found[2])
    us_gov = bool(region and region.startswith("us-gov-"))
    if account is None and asks:
        account = _ask()
    return Arn(
        partition="aws-cn" if is_chinese else "aws-us-gov" if us_gov else "aws",
        region=region or "REGION",
        account=account or UNKNOWN,
    )


def _ask() -> str | None:
    program = shutil.which("aws")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "sts", "get-caller-identity", "--output", "json"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT,
            check=True,
        )
        return str(json.loads(done.stdout)["Account"])
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
        return None
