"""What is said where: the answer on stdout, everything else on stderr.

A dry run's answer is a shell script: its commands, and as comments what was asked of AWS to write it.
"""

import json
import sys
from collections.abc import Mapping, Sequence


class Console:
    """The terminal.

    Args:
        as_json: The answer is one JSON object.
        is_verbose: Commands are shown as they run.
    """

    def __init__(self, *, as_json: bool, is_verbose: bool) -> None:
        self.as_json = as_json
        self._is_verbose = is_verbose
        self._script: list[str] = []

    def say(self, line: str) -> None:
        """Tell the user what happens."""
        print(line, file=sys.stderr, flush=True)

    def verbose(self, line: str) -> None:
        """Tell it only to those who asked for it."""
        if self._is_verbose:
            self.say(line)

    def script(self, line: str) -> None:
        """Print a line of a dry run's script."""
        self._script.append(line)
        if not self.as_json:
            print(line, flush=True)

    def answer(self, data: Mapping[str, object], lines: Sequence[str]) -> None:
        """Print the outcome: ``data`` for programs, ``lines`` for people.

        In a dry run the script has been the answer for people, and ``lines`` would tell of things not done.
        """
        if self.as_json:
            print(json.dumps({**data, "script": self._script} if self._script else data, indent=2))
        elif self._script:
            if all(line.startswith("#") for line in self._script):
                print("# nothing would change")
        else:
            for line in lines:
                print(line)
