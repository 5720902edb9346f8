"""The command line: one file a verb, each returns an ``Outcome``; outcomes and errors become words and status here.

stdout is the answer, stderr everything else. ``--json`` is stable and versioned, the words are not.
"""

import argparse
import importlib
import keyword
import os
import sys
from typing import Any, NoReturn

from fleet_agent import __version__, log, notify, streams
from fleet_agent.cli.outcome import Outcome, answer_json, note, write
from fleet_agent.errors import AgentError, ConfigurationError, Exit, UsageError
from fleet_agent.mailbox import StopRequested
from fleet_agent.printable import line as printable
from fleet_agent.session.sdk import misfit
from fleet_agent.streams import OutputError

PROGRAM = "fleet-agent"
VERBS = (
    "run",
    "provision",
    "adopt",
    "status",
    "doctor",
    "publish",
    "parameters",
    "config",
    "rotate",
    "key",
    "claim",
    "import",
    "reset",
)

# A command that did what it should, but whose answer could not be written; one that was ended by Ctrl-C.
_UNWRITTEN = 1
_INTERRUPTED = 130


class _Formatter(argparse.HelpFormatter):
    """Finds the terminal's width without shutil, which would load bz2 and lzma into every daemon."""

    def __init__(self, prog: str) -> None:
        try:
            width = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
        except (ValueError, OSError):
            width = 80
        super().__init__(prog, width=max(width - 2, 40))


class _Parser(argparse.ArgumentParser):
    """argparse, but a usage error is one of ours, so that ``--json`` reports it like any other."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**{"formatter_class": _Formatter, "allow_abbrev": False, **options})

    def format_help(self) -> str:
        """The help, and below it commands to type."""
        from fleet_agent.cli import examples

        return super().format_help() + examples.text(self.prog.removeprefix(PROGRAM).strip())

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ANN401 - argparse's own
        """Help and version are answers, too."""
        if message and file is not sys.stderr:
            streams.answer(message.removesuffix("\n"))

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{message[:1].upper()}{message[1:]}.", remedy=f"See {self.prog} --help", code="usage"
        )


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line, or with one verb filled in only (the rest costs its imports)."""
    top = _Parser(
        prog=PROGRAM,
        description="Gives this device an identity in AWS IoT Core from a claim, keeps it, and carries telemetry.",
        epilog="Exit status: 0 done, 2 usage, 69 not reachable, 73 state directory, 75 refused for now, "
        "77 refused by AWS, 78 wrong on the device.",
    )
    top.add_argument("--version", action="version", version=f"fleet-agent {__version__}")
    common = _Parser(add_help=False)
    common.add_argument(
        "--config",
        metavar="FILE",
        help="configuration (default: $FLEET_AGENT_CONFIG, else /etc/fleet-agent/config.yaml)",
    )
    common.add_argument("--json", action="store_true", help="answer in JSON on stdout")
    common.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    subparsers = top.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=_Parser, prog=PROGRAM
    )
    for name in (verb,) if verb in VERBS else VERBS:
        module = f"{name}_" if keyword.iskeyword(name) else name  # import_
        importlib.import_module(f"fleet_agent.cli.{module}").register(subparsers, common)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    streams.prepare()
    words = sys.argv[1:] if argv is None else argv
    try:
        status = _run(words)
    except AgentError as error:
        status = _report(error, as_json="--json" in words)
    except (ImportError, AttributeError) as error:
        if (unfit := misfit(error)) is None:
            raise
        status = _report(unfit, as_json="--json" in words)
    except StopRequested:
        status = int(Exit.DONE)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except OutputError as error:
        status = _unwritten(error, int(Exit.DONE))
    finally:
        whole = streams.finish()
    return status if whole else status or _UNWRITTEN


def _run(words: list[str]) -> int:
    arguments = parser(words[0] if words else None).parse_args(words)
    if not hasattr(arguments, "run"):
        raise UsageError("No command given.", remedy="See fleet-agent --help", code="usage")
    log.set_up(verbose=arguments.verbose)
    ended: Outcome = arguments.run(arguments)
    try:
        write(ended, as_json=arguments.json)
    except OutputError as error:
        return _unwritten(error, ended.status)
    return ended.status


def _unwritten(error: OutputError, status: int) -> int:
    """The exit status of a command whose answer could not be written: what it did stands, but all is not well."""
    if str(error):
        note(f"fleet-agent: {error}")
    return status or _UNWRITTEN


def _report(error: AgentError, *, as_json: bool) -> int:
    where = f"{error.step}: " if error.step else ""
    problems = error.problems if isinstance(error, ConfigurationError) else ()
    title = f"{where}{error.title}"
    details = [f"  {line}" for line in (*problems, error.remedy)]
    words = "\n".join(map(printable, (title, *details)))
    if not log.failed(words, problem=error.code, step=error.step):
        note(f"fleet-agent: {title}", *details)
    notify.status(title)  # `systemctl status` shows it of a failed unit too
    if as_json:
        facts = {
            "code": error.code,
            "step": error.step,
            "title": error.title,
            "remedy": error.remedy,
            **({"problems": list(problems)} if problems else {}),
        }
        try:
            answer_json({"error": facts})
        except OutputError as unwritten:
            return _unwritten(unwritten, int(error.exit_status))
    return int(error.exit_status)
