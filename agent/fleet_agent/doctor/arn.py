"""The account in ARNs, for policy statements that are ready to paste.

The region stands in the endpoint's name. A device does not store its account number: it comes from ``--account``, or
from the AWS CLI where that is set up; otherwise the statement has a placeholder to fill in.
"""

import json
import os
import shutil
import subprocess

from fleet_agent import pasted
from fleet_agent.pasted import Arn

_LIMIT = 10.0  # seconds for the AWS CLI


def missing(arn: Arn) -> str:
    """Describes what has to be filled in by hand; empty if nothing does."""
    names = [name for name in (arn.region, arn.account) if name in (pasted.REGION, pasted.ACCOUNT)]
    return (
        f" ({' and '.join(names)}: pass --account ID, or run this where the AWS CLI has credentials)"
        if names
        else ""
    )


def arn_of(endpoint: str, account: str | None, *, asks: bool) -> Arn:
    """Returns what this device's ARNs begin with.

    Args:
        endpoint: AWS IoT's data endpoint.
        account: From ``--account``.
        asks: Whether the AWS CLI may be asked; it calls AWS with whatever credentials it has.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if account is None and asks:
        account = _ask()
    return pasted.arn_of(endpoint, region=region, account=account)


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
