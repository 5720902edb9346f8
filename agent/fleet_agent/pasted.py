"""Text to paste into a shell or a policy, built only here, so that no name or topic becomes code.

A file's name, an id or a topic may have been chosen by somebody else. In a command each is one quoted word; in a policy
statement none brings a wildcard along. Pure.
"""

import itertools
import os
import re
import shlex
from pathlib import PurePath

from fleet_agent.record import record

_ENDPOINT = re.compile(r"\.iot(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")
# What a policy reads as more than itself.
_WILD = re.compile(r"[*?]|\$\{")

# Printed in place of a statement.
WILD = "A policy would read a wildcard in that name (*, ?, ${): allow it with care, or change the name."

# What is to be filled in by hand.
REGION, ACCOUNT = "REGION", "ACCOUNT"
_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}


def word(text: object) -> str:
    """Returns one word of a shell's, whatever is in it: what a terminal cannot show is spelled in octal.

    A path never reads as a flag.
    """
    given = str(text)
    if isinstance(text, PurePath) and given.startswith("-"):
        given = f"./{given}"
    runs = ("".join(run) for _, run in itertools.groupby(given, str.isprintable))
    return (
        "".join(shlex.quote(run) if run.isprintable() else _spelled(run) for run in runs) or "''"
    )


def command(*words: object) -> str:
    """Returns a command."""
    return " ".join(map(word, words))


def _spelled(text: str) -> str:
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        encoded = text.encode("utf-8", "surrogatepass")
    octal = "".join(f"\\{byte:03o}" for byte in encoded)
    return f"$'{octal}'"


@record
class Arn:
    """The prefix of AWS IoT's ARNs."""

    partition: str = "aws"
    region: str = REGION
    account: str = ACCOUNT

    def statement(self, action: str, resource: str) -> dict[str, str]:
        """The policy statement that allows it."""
        arn = f"arn:{self.partition}:iot:{self.region}:{self.account}:{resource}"
        return {"Effect": "Allow", "Action": action, "Resource": arn}


def arn_of(endpoint: str, *, region: str | None = None, account: str | None = None) -> Arn:
    """Reads partition and region from an endpoint's name; ``region`` is for a name without one."""
    found = _ENDPOINT.search(endpoint)
    region = found[1] if found else region or REGION
    partition = next(
        (name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws"
    )
    return Arn(partition=partition, region=region, account=account or ACCOUNT)


def is_wild(resource: str) -> bool:
    """Whether a policy would take a resource's name for more than that one."""
    return bool(_WILD.search(resource))
