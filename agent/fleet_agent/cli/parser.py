"""The command line as argparse sees it: usage errors are the agent's own, and every help ends with commands to type."""

import argparse
import importlib
import keyword
import os
import sys
from typing import Any, NoReturn

from fleet_agent import __version__
from fleet_agent.errors import UsageError
from fleet_agent.process import streams

PROGRAM = "fleet-agent"
VERBS = (
    "run",
    "provision",
    "adopt",
    "status",
    "doctor",
    "publish",
    "credentials",
    "parameters",
    "config",
    "rotate",
    "move",
    "key",
    "claim",
    "import",
    "reset",
)


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
        if self.prog != PROGRAM:  # there all words are the command's
            self.register("type", None, _given)

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


def _given(text: str) -> str:
    """Refuses an empty value of a flag: as a path it would be the current directory, or ``/``."""
    if not text:
        raise argparse.ArgumentTypeError("is empty (an unset variable of the shell?)")
    return text


def parse(words: list[str]) -> argparse.Namespace:
    """Reads a command line.

    Raises:
        UsageError: It makes no sense.
    """
    verb = words[0] if words else None
    arguments, unknown = command_line(verb).parse_known_args(words)
    if unknown:
        # Without its value, which may be a password.
        name = unknown[0].partition("=")[0]
        which = f"{verb} " if verb in VERBS else ""
        remedy = f"See {PROGRAM} {which}--help"
        raise UsageError(f"Unrecognized argument: {name}.", remedy=remedy, code="usage")
    return arguments


def command_line(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line, or with one verb filled in only (the rest costs its imports)."""
    top = _Parser(
        prog=PROGRAM,
        description="Provisions this device in AWS IoT Core by claim, keeps its identity, publishes readings and "
        "carries out orders.",
        epilog="Exit status: 0 success, 2 usage error, 69 not reachable, 73 state directory not usable, 75 refused "
        "for now, 77 refused by AWS, 78 configuration or files on the device wrong.",
    )
    top.add_argument("--version", action="version", version=f"fleet-agent {__version__}")
    common = _Parser(add_help=False)
    common.add_argument(
        "--config",
        metavar="FILE",
        help="configuration file (default: $FLEET_AGENT_CONFIG, else /etc/fleet-agent/config.yaml)",
    )
    common.add_argument("--json", action="store_true", help="print the answer as JSON on stdout")
    common.add_argument("-v", "--verbose", action="store_true", help="print more on stderr")
    subparsers = top.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=_Parser, prog=PROGRAM
    )
    for name in (verb,) if verb in VERBS else VERBS:
        module = f"{name}_" if keyword.iskeyword(name) else name  # import_
        importlib.import_module(f"fleet_agent.cli.{module}").register(subparsers, common)
    return top
