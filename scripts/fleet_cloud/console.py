"""Output: the answer on stdout, everything else on stderr.

A dry run's answer is a shell script: its commands, and as comments what was asked of AWS to write it.
"""

import concurrent.futures
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from fleet_cloud import streams
from fleet_cloud.printable import printable

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_MANY = 20  # from here on progress is shown
_STEPS = 10  # and so often, where there is no terminal that could show it in one line


def duration(seconds: float) -> str:
    """Returns for people how long something takes."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


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
        """Reports what happens."""
        streams.say(printable(line))

    def ask(self, question: str) -> str | None:
        """Asks a person; returns the answer, or nothing when stdin is no terminal."""
        if not streams.is_terminal(sys.stdin):
            return None
        streams.say(printable(question), end=" ")
        try:
            return sys.stdin.readline().strip()
        except (OSError, ValueError):
            return None

    def running(self, command: object) -> None:
        """Shows a command as it runs, where that was requested."""
        if self._is_verbose:
            self.say(f"+ {command}")

    def spread(
        self,
        run: Callable[[_Task], _Result],
        tasks: Sequence[_Task],
        doing: str,
        at_once: int,
    ) -> list[_Result]:
        """Runs tasks, so many at a time, and shows their progress and how long it takes yet when there are many.

        One at a time they run in this thread: handing each to another would cost more than many a task does.
        """
        results: list[_Result] = []
        began = time.monotonic()
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=at_once)
        try:
            for result in map(run, tasks) if at_once == 1 else pool.map(run, tasks):
                results.append(result)
                if doing and len(tasks) >= _MANY:
                    self._progress(doing, len(results), len(tasks), time.monotonic() - began)
        finally:
            pool.shutdown(cancel_futures=True)
        return results

    def _progress(self, doing: str, done: int, whole: int, seconds: float) -> None:
        left = seconds / done * (whole - done)
        ends = f", {duration(left)} left" if left >= 1 else ""
        if streams.is_terminal(sys.stderr):
            end = "\n" if done == whole else ""
            streams.say(f"\r  {doing}: {done} of {whole}{ends}\x1b[K", end=end)
        elif done == whole or done % max(1, whole // _STEPS) == 0:
            self.say(f"  {doing}: {done} of {whole}{ends}")

    def script(self, line: str) -> None:
        """Prints a line of a dry run's script; :mod:`fleet_cloud.local.quoting` has made it fit to be shown."""
        self._script.append(line)
        if not self.as_json:
            streams.answer(line)

    def answer(self, data: Mapping[str, object], lines: Sequence[str]) -> None:
        """Prints the outcome: ``data`` for programs, ``lines`` for people.

        In a dry run the script has been the answer for people, and ``lines`` would report things not done.
        """
        if self.as_json:
            shown = {**data, "script": self._script} if self._script else data
            streams.answer(json.dumps(shown, indent=2))
        elif self._script:
            if all(line.startswith("#") for line in self._script):
                streams.answer("# nothing would change")
        elif lines:
            streams.answer("\n".join(map(printable, lines)))
