"""Runs a program for a command: the payload is its stdin, nothing of it is ever in a shell or an argument.

What it learns beside: ``FLEET_AGENT_TOPIC``, ``FLEET_AGENT_HANDLER``, and where the message has them
``FLEET_AGENT_CONTENT_TYPE``, ``FLEET_AGENT_RESPONSE_TOPIC``, ``FLEET_AGENT_MESSAGE_ID``.
"""

import math
from collections.abc import Mapping

from fleet_agent.clock import Clock
from fleet_agent.config.subscriptions import ExecHandler
from fleet_agent.mailbox import Mailbox
from fleet_agent.orders.answer import Outcome, failure
from fleet_agent.orders.command import Command
from fleet_agent.orders.handlers.work import Done
from fleet_agent.programs.child import Cause, Child, Ended


class ExecWork:
    """Runs programs.

    Args:
        handler: Which, and how long.
        name: The handler's name, for the program.
        mailbox: Where the program is watched.
        clock: For its time limit.
    """

    # It may have acted before it was cut off: a command to reboot would come again after each boot.
    is_repeated = False
    is_instant = False

    def __init__(self, handler: ExecHandler, name: str, mailbox: Mailbox, clock: Clock) -> None:
        self._handler = handler
        self._name = name
        self._mailbox = mailbox
        self._clock = clock
        self._child: Child | None = None

    @property
    def due(self) -> float:
        """When the program's time is over."""
        return self._child.due if self._child else math.inf

    def begin(self, command: Command, done: Done) -> None:
        """Start it."""

        def ended(how: Ended) -> None:
            self._child = None
            done(self._outcome(how))

        self._child = Child(
            self._handler.argv,
            mailbox=self._mailbox,
            clock=self._clock,
            stdin=command.payload,
            limit=self._handler.max_answer,
            timeout=self._handler.timeout,
            environment=self._environment(command),
            on_end=ended,
            cuts=True,
        )

    def _environment(self, command: Command) -> Mapping[str, str]:
        return environment(command, self._name)

    def act(self) -> None:
        """Its time is over."""
        if self._child is not None:
            self._child.act()

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _outcome(self, how: Ended) -> Outcome:
        reason = f"{self._handler.argv[0]} {how.words}" if how.words else ""
        if how.cause is Cause.NOT_STARTED:
            return failure("not-started", reason)
        is_killed = how.status is None or how.status < 0
        error = "killed" if is_killed else ""
        return Outcome(
            status=-1 if how.status is None or is_killed else how.status,
            error="timeout" if how.cause is Cause.TIMEOUT else error,
            reason=reason,
            stdout=how.output,
            is_cut=how.is_cut,
        )


def environment(command: Command, name: str) -> dict[str, str]:
    """What the program gets beside the clean environment; what no environment can carry is left out."""
    found = {
        "FLEET_AGENT_TOPIC": command.topic,
        "FLEET_AGENT_HANDLER": name,
        "FLEET_AGENT_CONTENT_TYPE": command.content_type,
        "FLEET_AGENT_RESPONSE_TOPIC": command.response_topic,
        "FLEET_AGENT_MESSAGE_ID": command.identity,
    }
    return {key: value for key, value in found.items() if value and "\0" not in value}
