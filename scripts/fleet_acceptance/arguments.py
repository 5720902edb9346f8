"""The command line, as a value."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_acceptance import plan

SANDBOX = "sandbox"
MOST_DEVICES = 500

_DESCRIPTION = """\
Proves fleet-agent and fleet-cloud on an AWS account, and measures there what AWS does not document. Says what it will
make and what that costs, asks, makes it under names of its own, goes through every section, and takes all of it away
again. Writes acceptance-REGION-DATE.json and a report for people beside it, without secrets and without the account's
number.
"""
_EPILOG = """\
examples:
  # the sandbox in place of an account: nothing to pay, nothing asked
  scripts/acceptance --against sandbox
  # an account; looks at what it would do first, and asks
  scripts/acceptance --profile trial --region eu-west-1
  # what an interrupted run has left
  scripts/acceptance --profile trial --region eu-west-1 --clean-up
  # does the sandbox do as that account did?
  scripts/acceptance --compare acceptance-eu-west-1-2026-11-26.json
  # a sandbox that does as that account did
  scripts/acceptance --against sandbox --only measure -- --like acceptance-eu-west-1-2026-11-26.json

exit status: 0 done, and nothing differs that is not known; 1 a step failed, or something is left in the account;
2 usage; 3 the answers differ from the sandbox's in what is not known; 130 interrupted
"""


@dataclass(frozen=True)
class Arguments:
    """What was asked for; ``sandbox`` are the arguments of a sandbox that is started for it."""

    profile: str | None
    region: str | None
    endpoint_url: str | None
    ca_file: Path | None
    against_sandbox: bool
    yes: bool
    keep: bool
    only: tuple[str, ...]
    devices: int
    out: Path
    clean_up: bool
    compare: Path | None
    known: Path | None
    sandbox: tuple[str, ...]

    @property
    def only_compares(self) -> bool:
        """Whether nothing is run: a file is held against the table of facts."""
        runs = (
            self.against_sandbox,
            self.profile,
            self.region,
            self.endpoint_url,
            self.only,
            self.yes,
        )
        return self.compare is not None and not any(runs)


def parse(given: Sequence[str] | None) -> Arguments:
    """Reads the command line; what follows ``--`` is the sandbox's."""
    parser = _parser()
    words, sandbox = _split(given)
    parsed = parser.parse_args(words)
    if sandbox and not parsed.against:
        parser.error("what follows -- is for the sandbox: add --against sandbox")
    if parsed.clean_up and parsed.against:
        parser.error("--clean-up and --against sandbox: a sandbox of this command ends with it")
    return Arguments(
        profile=parsed.profile,
        region=parsed.region,
        endpoint_url=parsed.endpoint_url,
        ca_file=parsed.ca_file.resolve() if parsed.ca_file else None,
        against_sandbox=parsed.against == SANDBOX,
        yes=parsed.yes,
        keep=parsed.keep,
        only=tuple(parsed.only),
        devices=parsed.devices,
        out=parsed.out.resolve(),
        clean_up=parsed.clean_up,
        compare=parsed.compare,
        known=parsed.known,
        sandbox=tuple(sandbox),
    )


def _split(given: Sequence[str] | None) -> tuple[list[str] | None, list[str]]:
    words = list(sys.argv[1:] if given is None else given)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/acceptance",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [options] [-- OPTIONS OF THE SANDBOX]",
    )
    where = parser.add_argument_group("which account")
    where.add_argument("--profile", metavar="NAME", help="the profile of the AWS CLI")
    where.add_argument("--region", metavar="REGION", help="the AWS region")
    where.add_argument(
        "--endpoint-url", metavar="URL", help="another place that answers AWS's calls"
    )
    where.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="the CA of its device endpoint"
    )
    where.add_argument(
        "--against", choices=[SANDBOX], help="start a sandbox, and run against that"
    )
    group = parser.add_argument_group("what to do")
    group.add_argument("--yes", action="store_true", help="do not ask")
    group.add_argument("--keep", action="store_true", help="leave what was made")
    group.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="SECTION",
        choices=[plan.MEASURE, *(section.name for section in plan.SECTIONS)],
        help=f"this section; may be repeated: {_sections()}",
    )
    group.add_argument(
        "--devices", type=_count, default=50, metavar="N", help="how many at once (default 50)"
    )
    group.add_argument(
        "--clean-up", action="store_true", help="take away what earlier runs have left"
    )
    group.add_argument(
        "--compare", type=Path, metavar="FILE", help="hold a result against the sandbox's answers"
    )
    group.add_argument(
        "--known", type=Path, metavar="FILE", help="another list of known differences"
    )
    group.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="where results go (default: here)"
    )
    return parser


def _sections() -> str:
    """Says which sections there are, and which of them have to be asked for."""
    usual = [section.name for section in plan.SECTIONS if not section.warning]
    asked = [f"{section.name} ({section.warning})" for section in plan.SECTIONS if section.warning]
    return (
        f"{', '.join(usual)}; measure is short for all that begin with it; "
        f"only when they are named: {'; '.join(asked)}"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_DEVICES:
        raise argparse.ArgumentTypeError(f"a number from 1 to {MOST_DEVICES}")
    return int(text)
