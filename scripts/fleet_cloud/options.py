"""The flags that every command takes, before or after its name."""

import argparse
import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from fleet_cloud.aws import calls, in_process
from fleet_cloud.aws.calls import Aws, Options
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.console import Console
from fleet_cloud.errors import UsageError
from fleet_cloud.local.shell import Shell

_POLICY = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[0-9A-Za-z+=,.@_/-]{1,256}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What every command is given."""

    console: Console
    shell: Shell
    names: FleetNames
    aws_options: Options

    def aws(self) -> Aws:
        """Returns what makes calls to AWS, for those commands that need it."""
        return Aws(self.shell, self.aws_options)


@dataclasses.dataclass(frozen=True)
class Flag:
    """One global flag."""

    name: str
    help: str
    metavar: str | None = None  # a flag without one is a switch
    default: str | None = None


FLAGS = (
    Flag("--name", "the fleet's name, from which all names in the cloud derive", "NAME", "fleet"),
    Flag("--profile", "the profile of the AWS CLI to use", "NAME"),
    Flag("--region", "the AWS region", "REGION"),
    Flag("--endpoint-url", "endpoint to use in place of AWS", "URL"),
    Flag(
        "--with",
        "how to call AWS: botocore, in this process and much faster, or aws, the command (default: "
        "$FLEET_CLOUD_WITH, else botocore if installed)",
        "MAKER",
    ),
    Flag("--role-boundary", "permissions boundary of every role that is created", "ARN"),
    Flag("--dry-run", "print the aws commands that would change something, and change nothing"),
    Flag("--verbose", "show every command as it runs"),
    Flag("--json", "print one JSON object"),
)


def add_to(parser: argparse.ArgumentParser, *, top: bool) -> None:
    """Adds the flags; below the top they have no default, so that a flag before the command's name stands."""
    group = parser.add_argument_group("for every command")
    for flag in FLAGS:
        text = f"{flag.help} (default: {flag.default})" if flag.default else flag.help
        if flag.metavar:
            default = flag.default if top else argparse.SUPPRESS
            group.add_argument(
                flag.name, metavar=flag.metavar, default=default, help=text, type=str
            )
        else:
            switch = False if top else argparse.SUPPRESS
            group.add_argument(flag.name, action="store_true", default=switch, help=text)


def given(text: str) -> str:
    """Returns a flag's value; an empty one would pass for the flag's absence, or for the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty (an unset variable of the shell?)")
    return text


def given_path(text: str) -> Path:
    """Returns the path that a flag names."""
    return Path(given(text))


def context(arguments: argparse.Namespace) -> Context:
    """Builds the context from the flags.

    Raises:
        UsageError: The fleet's name is not usable.
    """
    console = Console(as_json=arguments.json, is_verbose=arguments.verbose)
    return Context(
        console=console,
        shell=Shell(console, dry_run=arguments.dry_run),
        names=FleetNames(arguments.name),
        aws_options=Options(
            profile=arguments.profile,
            region=arguments.region,
            endpoint_url=arguments.endpoint_url,
            role_boundary=_boundary(arguments.role_boundary),
            backend=_backend(getattr(arguments, "with")),
        ),
    )


def _backend(given: str | None) -> str:
    """Returns the backend that makes the calls.

    Raises:
        UsageError: There is no such thing, or this Python lacks it.
    """
    given = given or os.environ.get("FLEET_CLOUD_WITH")
    if not given:
        return calls.BOTOCORE if in_process.is_available() else calls.AWS
    if given not in {calls.AWS, calls.BOTOCORE}:
        raise UsageError(f"--with {given!r}", remedy="pass --with aws or --with botocore")
    if given == calls.BOTOCORE and not in_process.is_available():
        raise UsageError(
            "--with botocore is set, but this Python has no botocore",
            remedy="type: python3 -m pip install botocore   (or sudo apt-get install python3-botocore), "
            "or remove --with to use the aws program",
        )
    return given


def _boundary(given: str | None) -> str | None:
    """Checks a permissions boundary.

    Raises:
        UsageError: It is not a policy's ARN.
    """
    if given and not _POLICY.fullmatch(given):
        raise UsageError(
            f"--role-boundary {given!r} is not the ARN of a policy",
            remedy="write it as arn:aws:iam::123456789012:policy/NAME",
        )
    return given


def read_parameters(given: Sequence[str]) -> dict[str, str]:
    """Reads ``--parameter NAME=VALUE``, each of them.

    Raises:
        UsageError: One has no name or no value.
    """
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise UsageError(f"--parameter {name!r} has no value", remedy="write NAME=VALUE")
    return {name: value for name, _, value in pairs}
