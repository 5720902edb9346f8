"""The command line: parses, runs one command, and turns errors into words and an exit status, here and nowhere else."""

import argparse
import errno
import json
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Protocol, cast

from fleet_cloud import options, streams
from fleet_cloud.commands import (
    bulk,
    check,
    claim_list,
    claim_new,
    claim_revoke,
    claim_temporary,
    config,
    devices_allow,
    devices_clean,
    devices_expect,
    devices_list,
    devices_prune,
    devices_show,
    devices_waiting,
    down,
    explain,
    operator_policy,
    rehearse,
    rotate_start,
    rotate_status,
    rule_down,
    rule_up,
    run,
    send,
    status,
    things_clean,
    things_create,
    things_send,
    up,
    verify,
)
from fleet_cloud.errors import CommandError, Exit, FleetCloudError, UsageError
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.printable import printable
from fleet_cloud.streams import OutputError


class CommandModule(Protocol):
    """What each module in ``commands`` has."""

    NAME: tuple[str, ...]
    SUMMARY: str
    DESCRIPTION: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's own flags."""

    def run(self, context: Context, arguments: argparse.Namespace) -> Outcome:
        """Carries it out.

        Raises:
            FleetCloudError: What failed, and what to do.
        """


COMMANDS = cast(
    "tuple[CommandModule, ...]",
    (
        up,
        status,
        claim_new,
        claim_temporary,
        claim_list,
        claim_revoke,
        config,
        devices_expect,
        devices_waiting,
        devices_allow,
        devices_list,
        devices_show,
        devices_clean,
        devices_prune,
        send,
        run,
        explain,
        rotate_start,
        rotate_status,
        down,
        operator_policy,
        verify,
        rehearse,
        bulk,
        check,
        rule_up,
        rule_down,
        things_create,
        things_send,
        things_clean,
    ),
)
GROUPS = {
    "rotate": "replace the certificates of devices in the field",
    "rule": "send readings of devices to people, by SNS",
    "things": "create numbered things for trials, with a record of them",
    "claim": "manage claim certificates, with which devices provision themselves",
    "devices": "manage the fleet's things and their certificates",
}

# One source tree has one version, which the agent's package states.
_VERSION = Path(__file__).resolve().parents[2] / "agent" / "fleet_agent" / "__init__.py"

DESCRIPTION = """\
Sets up AWS IoT Core for a fleet of devices that provision themselves by claim. Runs the aws command (version 1 or 2)
with your credentials; --dry-run prints what it would run.
"""
EPILOG = """\
in this order:
  fleet-cloud up                              role, policies, template
  fleet-cloud claim new --image image         the claim for a batch of devices, and config.yaml;
                                              image/ becomes /etc/fleet-agent
  fleet-cloud status                          what is there, and what differs
  fleet-cloud down                            deletes everything

exit status: 0 success, 1 failure or difference, 2 usage error
"""


class _Parser(argparse.ArgumentParser):
    """argparse, but wrong usage is an error of ours, so that ``--json`` reports it like any other."""

    def error(self, message: str) -> NoReturn:
        """Shows what would be right.

        Raises:
            UsageError: Always.
        """
        streams.say(self.format_usage().rstrip())
        raise UsageError(message, remedy=f"see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    parser: argparse.ArgumentParser = _Parser(
        prog="fleet-cloud",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fleet-cloud {_version()}")
    options.add_to(parser, top=True)
    top = parser.add_subparsers(metavar="COMMAND", required=True)
    groups = {}
    for command in COMMANDS:
        *path, name = command.NAME
        parent = top
        for group in path:
            if group not in groups:
                within = top.add_parser(group, help=GROUPS[group], description=GROUPS[group])
                groups[group] = within.add_subparsers(metavar="COMMAND", required=True)
            parent = groups[group]
        _add(parent, name, command)
    return parser


def _version() -> str:
    try:
        text = _VERSION.read_text(encoding="utf-8")
    except OSError:
        return "of unknown version"
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return found[1] if found else "of unknown version"


def program() -> int:
    """Runs as a program: SIGTERM counts as Ctrl-C, so that temporary resources are deleted."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return main()
    finally:
        # While Python ends, another signal would be a traceback.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupt(_number: int, _frame: object) -> None:
    """Reacts once: ``timeout`` sends it twice, and by then temporary resources are being deleted."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the arguments name; returns the exit status."""
    streams.prepare()
    try:
        return _run(arguments)
    except OutputError as error:
        if str(error):
            streams.say(f"fleet-cloud: {error}")
        return Exit.FAILED
    except KeyboardInterrupt:
        streams.say("\nfleet-cloud: interrupted; run it again to continue")
        return Exit.INTERRUPTED
    finally:
        if not streams.finish():
            sys.exit(Exit.FAILED)


def _run(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in words
    try:
        parsed = build_parser().parse_args(words)
        _check_text(words)
        context = options.context(parsed)
        command: CommandModule = parsed.command
        outcome: Outcome = command.run(context, parsed)
        context.console.answer(outcome.data, outcome.lines)
    except FleetCloudError as error:
        report(error, as_json=as_json)
        return error.exit_status
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.ENAMETOOLONG) or error.filename is None:
            raise
        # It cannot even be checked whether the file exists.
        title = f"{error.filename} cannot be read: {error.strerror}"
        unseen = FleetCloudError(title, remedy="choose another place", code="file-unreadable")
        report(unseen, as_json=as_json)
        return unseen.exit_status
    return outcome.status


def report(error: FleetCloudError, *, as_json: bool) -> None:
    """Reports a failure: what failed, with AWS's own message, why, and what to type next."""
    facts = {"code": error.code, "title": error.title, "remedy": error.remedy}
    lines = [f"fleet-cloud: {error}", *(f"    {detail}" for detail in error.details)]
    if error.details:
        facts["title"] = "\n".join([error.title, *(f"    {detail}" for detail in error.details)])
    if isinstance(error, CommandError):
        facts |= {"command": error.command, "said": error.said, "cause": error.cause}
        first, *more = error.said.splitlines() or [""]
        lines += [f"  command: {error.command}"]
        lines += [f"  it said: {first}"] if first else []
        lines += more
        lines += [f"  likely cause: {error.cause}"] if error.cause else []
    lines += [f"  next: {error.remedy}"]
    streams.say("\n".join(map(printable, lines)))
    if as_json:
        streams.answer(json.dumps({"error": facts}, indent=2))


def _check_text(words: Sequence[str]) -> None:
    """Checks that the arguments are text in this console's encoding; anything else could not be written anywhere.

    Raises:
        UsageError: A word is not.
    """
    for word in words:
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise UsageError(
                f"{word!r} is not text in this console's encoding, {sys.getfilesystemencoding()}",
                remedy="type it in that encoding, or choose another: LC_ALL=C.UTF-8",
            )


def _add(
    parent: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    command: CommandModule,
) -> None:
    parser = parent.add_parser(
        name,
        help=command.SUMMARY,
        description=command.DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.register("type", None, options.given)
    parser.register("type", Path, options.given_path)
    command.add_arguments(parser)
    options.add_to(parser, top=False)
    parser.set_defaults(command=command)
