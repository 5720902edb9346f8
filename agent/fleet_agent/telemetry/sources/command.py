"""What a program prints, at an interval: its stdout is a reading.

A program that ends with status 0 and prints nothing has nothing to say; that is no problem.
"""

import json

from fleet_agent import pasted
from fleet_agent.config.readings import CommandSource
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.programs.child import Child, Ended
from fleet_agent.telemetry.reading import JSON, MAX_PAYLOAD, TEXT
from fleet_agent.telemetry.sources.feed import Feed, one_line


class Command:
    """Runs a program at an interval, never twice at a time."""

    def __init__(self, settings: CommandSource, feed: Feed, mailbox: Mailbox) -> None:
        self.name = feed.name
        self._settings = settings
        self._feed = feed
        self._mailbox = mailbox
        self._next = feed.clock.monotonic()
        self._child: Child | None = None

    @property
    def due(self) -> float:
        """The next run, or the limit of the one under way."""
        return self._child.due if self._child else self._next

    def act(self) -> None:
        """Runs it, or sees to one that takes too long."""
        if self._child is not None:
            self._child.act()
            return
        clock = self._feed.clock
        self._next = max(self._next + self._settings.interval, clock.monotonic())
        self._child = Child(
            self._settings.argv,
            mailbox=self._mailbox,
            clock=clock,
            stdin=b"",
            limit=MAX_PAYLOAD,
            timeout=self._settings.timeout,
            environment={},
            on_end=self._ended,
        )

    def close(self) -> None:
        """Ends the run under way."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _ended(self, ended: Ended) -> None:
        self._child = None
        # One that took longer than the interval does not run again at once.
        self._next = max(self._next, self._feed.clock.monotonic())
        problem = ended.words
        if problem is None:
            problem = self._hand_in(ended.output)
        if problem is not None:
            line = pasted.command(*self._settings.argv)
            self._feed.fails(
                f"{self._settings.argv[0]} {problem}.",
                f"Run it by hand as the agent's user: sudo -u _fleet-agent {line}",
            )
        else:
            self._feed.works()

    def _hand_in(self, output: bytes) -> str | None:
        """Makes a reading of it; returns what is wrong with it, or None."""
        if not output.strip():
            return None
        if self._settings.format == "text":
            try:
                output.decode()
            except UnicodeDecodeError:
                return "prints something that is not UTF-8"
            self._feed.put(output.rstrip(b"\n"), TEXT)
            return None
        if (problem := json_problem(output)) is not None:
            return f"does not print one JSON value ({problem})"
        self._feed.put(one_line(output), JSON)
        return None


def json_problem(text: bytes) -> str | None:
    """Returns why this is not a JSON value by the standard; None: it is."""
    try:
        json.loads(text.decode(), parse_constant=_refuse)
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return str(error)
    return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
