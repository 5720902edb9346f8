"""Completion for bash, zsh and fish, made by shtab from the agent's parser; the device needs nothing for it.

``scripts/reference.py`` writes them to packaging/completion; a test compares, others press Tab.
"""

import argparse
import re

import shtab

from fleet_agent.cli.parser import command_line

SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """The completion script for a shell."""
    parser = command_line()
    _prepare(parser)
    made: str = shtab.complete(parser, shell=shell)
    # It is a tenth of what the package has beside the SDK, and mostly these words.
    for long, short in (
        ("_shtab_fleet_agent", "_fleet_agent"),
        (' -xka "(__fish_complete_path (commandline -ct))"', " -rF"),
    ):
        made = made.replace(long, short)
    return re.sub(
        r"\n# Usage:\n(#.*\n)+", "\n# Run scripts/reference.py to make it again.\n", made, count=1
    )


def _prepare(parser: argparse.ArgumentParser) -> None:
    """Tells shtab what a flag's value is, as its name in the help says it: a file, a folder, one of these words."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to them
        # A line of a menu: without examples, defaults and what else --help says.
        action.help = re.split(r", such as|; | \(|: ", action.help or "", maxsplit=1)[0]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for named in action._choices_actions:  # noqa: SLF001 - as above
                below = action.choices[named.dest]
                below.description = named.help  # a line of a menu, not a paragraph
                _prepare(below)
        elif action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # as above
        elif isinstance(action.metavar, str) and "|" in action.metavar:
            action.choices = action.metavar.split("|")
