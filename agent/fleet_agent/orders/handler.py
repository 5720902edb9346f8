"""One handler: takes a command at a time, lets others wait, refuses what it cannot take, and reports the outcome.

A message is acknowledged to AWS when it is safe: a file is written, a program is started, and what waits or is asked of
a socket is in a file of its own. So a command survives the agent; a program that was started is not started again, a
socket is asked until it has answered. Where so many wait that no more may, messages are held: AWS keeps what is not
acknowledged, and sends it again when the connection ends before its turn has come.
"""

import collections
import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from fleet_agent import clock as clocks
from fleet_agent.clock import Clock
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.errors import StateDirectoryError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.orders.answer import (
    Answering,
    Outcome,
    failure,
    refusal,
    written,
)
from fleet_agent.orders.command import Command
from fleet_agent.orders.deduplicate import Remembered
from fleet_agent.orders.handlers.work import Work
from fleet_agent.orders.line import Line, Waiting
from fleet_agent.printable import printable
from fleet_agent.record import record
from fleet_agent.reserved import Reserved

_log = logging.getLogger(__name__)

# Bytes that are held for one handler. AWS has at most 100 messages under way; another broker may not keep to that.
HELD_BYTES = 16 * 1024 * 1024

_REMEDIES = {
    "not-started": "Look at the handler's argv: the program's path, its mode, and what the unit allows.",
    "timeout": "Give it more time (timeout), or have it do less before it answers.",
    "not-written": "Give the agent's user the right to write there, and the unit ReadWritePaths= for it.",
    "no-program": "Start the program that listens there, and give the agent's user the right to open its socket.",
}


@dataclasses.dataclass(kw_only=True)
class Counters:
    """What a handler did since it was configured; ``last_error`` with its time, None while there was none.

    ``waiting`` commands are in the line, ``held`` ones are not acknowledged yet.
    """

    handled: int = 0
    failed: int = 0
    refused: int = 0
    duplicates: int = 0
    waiting: int = 0
    held: int = 0
    last_error: str | None = None
    last_error_time: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Held:
    """A command without a place in the line; of one that came again, what acknowledges each."""

    command: Command
    acknowledge: list[Callable[[], None]]


@record
class Shared:
    """What all handlers share.

    ``own`` are this device's topics and filters, where no answer goes; ``reserved``: files that no handler writes.
    """

    answer: Answering
    clock: Clock
    health: Health
    reserved: Reserved = dataclasses.field(default_factory=lambda: Reserved([]))
    own: Sequence[str] = ()


class Handler:
    """Handles the messages of one subscription.

    Args:
        name: In the status.
        subscription: What it asks for.
        work: What it does.
        folder: Keeps what waits and the ids it had; made when there is something to keep.
        shared: Where answers and problems go.
    """

    def __init__(
        self, name: str, subscription: Subscription, work: Work, folder: Path, shared: Shared
    ) -> None:
        self.name = name
        self.counters = Counters()
        self._work = work
        self._shared = shared
        self._max_size, self._max_waiting = _limits(subscription)
        self._line = Line(folder)
        self._remembered = Remembered(folder / "ids")
        self._current: tuple[Waiting, Command] | None = None
        self._held: collections.deque[_Held] = collections.deque()
        self._held_ids: dict[str, _Held] = {}
        self._held_bytes = 0
        self._is_going = False
        self._is_closed = False
        self.counters.waiting = len(self._line)

    @property
    def due(self) -> float:
        """When ``act`` is to be called: at once when something waited for the agent to begin."""
        if self._current is not None:
            return self._work.due
        return 0.0 if len(self._line) and not self._is_closed else math.inf

    def act(self) -> None:
        """Begin what waits, or end what goes on: its time is over."""
        if self._current is not None:
            self._work.act()
        else:
            self._go()
            self._admit()

    def take(
        self, command: Command, acknowledge: Callable[[], None], *, comes_again: bool = True
    ) -> bool:
        """Handle it, or have it wait; refuse or leave it otherwise. Once closed, wait for the agent to run again.

        Args:
            command: What to do.
            acknowledge: Called once it need not come again.
            comes_again: Whether it does until then.

        Returns:
            Whether it was acknowledged; else it is held.
        """
        identity = command.identity
        if len(command.payload) > self._max_size:
            words = f"it has {len(command.payload)} bytes, {self._max_size} are allowed"
            self.refuse(command, failure("too-large", words))
        elif identity is not None and identity in self._held_ids:
            # Perhaps the same packet: its acknowledgement would be that of the one that is held.
            self._held_ids[identity].acknowledge.append(acknowledge)
            return False
        elif identity is not None and self._knows(identity):
            self.counters.duplicates += 1
            _log.info("%s: a duplicate on %s was left alone", self.name, _shown(command))
            self._answer(command, failure("duplicate", "a message of that id was taken before"))
        elif not self._is_full and not self._held:
            self._accept(command)
        elif comes_again and self._held_bytes + len(command.payload) <= HELD_BYTES:
            self._hold(_Held(command=command, acknowledge=[acknowledge]))
            return False
        else:
            words = f"{len(self._line) + len(self._held)} messages wait already"
            self.refuse(command, failure("busy", words))
        acknowledge()
        return True

    @property
    def _has_to_wait(self) -> bool:
        return self._current is not None or (self._is_closed and not self._work.is_instant)

    @property
    def _is_full(self) -> bool:
        return self._has_to_wait and len(self._line) >= self._max_waiting

    def _hold(self, item: _Held) -> None:
        self._held.append(item)
        self._held_bytes += len(item.command.payload)
        if item.command.identity is not None:
            self._held_ids[item.command.identity] = item
        self.counters.held = len(self._held)

    def _release(self) -> _Held:
        item = self._held.popleft()
        self._held_bytes -= len(item.command.payload)
        if item.command.identity is not None:
            del self._held_ids[item.command.identity]
        self.counters.held = len(self._held)
        return item

    def _accept(self, command: Command) -> None:
        """Put it into the line; when this returns it need not come again."""
        is_stored = self._has_to_wait or (self._work.is_repeated and not self._work.is_instant)
        try:
            self._line.add(command, is_stored=is_stored)
        except StateDirectoryError as error:
            self._report_not_kept(error)
        else:
            if is_stored:
                self._shared.health.clear(table.COMMANDS_NOT_KEPT)
        self._go()

    def _admit(self) -> None:
        """Give what is held the places that came free; while others are begun it is not known which do."""
        while self._held and not (self._is_going or self._is_full):
            item = self._release()
            self._accept(item.command)
            for acknowledge in item.acknowledge:
                acknowledge()

    def disconnected(self) -> None:
        """The connection ended: what is held comes again."""
        while self._held:
            self._release()

    def refuse(self, command: Command, outcome: Outcome) -> None:
        """Leave it, and answer its sender so; the caller acknowledges it."""
        self.counters.refused += 1
        self._shared.health.is_outdated = True
        self._note(outcome)
        _log.warning("%s: refused what came on %s: %s", self.name, _shown(command), outcome.reason)
        self._answer(command, outcome)

    def _go(self) -> None:
        """Begin what waits, where nothing goes on."""
        self.counters.waiting = len(self._line)
        if self._is_going or (self._is_closed and not self._work.is_instant):
            return
        self._is_going = True
        while self._current is None and (found := self._line.next()) is not None:
            item, command = found
            if command.identity is not None and command.identity in self._remembered:
                self._forget_file(item)  # the agent ended between the two
                continue
            self._current = found
            if not self._work.is_repeated:
                self._remember(command)
                self._forget_file(item)
            self._work.begin(command, self._done)
        self._is_going = False
        self.counters.waiting = len(self._line)

    def close(self) -> None:
        """End: what waits, or is asked of a socket, is handled when the agent runs again; a program is ended."""
        self._is_closed = True
        if self._current is None:
            return
        self._work.close()
        _, command = self._current
        self._current = None
        if not self._work.is_repeated:
            words = "the agent was stopped while the program ran"
            self._conclude(command, failure("stopped", words, was_begun=True))

    # How it went ------------------------------------------------------------------------------------------------------

    def _done(self, outcome: Outcome) -> None:
        if self._current is None:
            return
        item, command = self._current
        self._current = None
        if self._work.is_repeated:
            if outcome.is_good:
                self._remember(command)
            self._forget_file(item)
        elif not outcome.was_begun:
            self._unremember(command)
        self._conclude(command, outcome)
        self._go()
        self._admit()

    def _conclude(self, command: Command, outcome: Outcome) -> None:
        self._shared.health.is_outdated = True
        if outcome.is_good:
            self.counters.handled += 1
            self._shared.health.clear(table.HANDLER_FAILED, self.name)
        else:
            self.counters.failed += 1
            self._note(outcome)
            _log.warning("%s: %s", self.name, outcome.reason)
            # The former is the sender's fault, the latter no fault.
            if outcome.error not in ("refused-name", "stopped"):
                self._raise(outcome)
        self._answer(command, outcome)

    def _raise(self, outcome: Outcome) -> None:
        title = f"The handler {self.name} failed: {outcome.reason.rstrip('.')}."
        remedy = _REMEDIES.get(outcome.error)
        self._shared.health.report(table.HANDLER_FAILED.problem(title, remedy, name=self.name))

    def _note(self, outcome: Outcome) -> None:
        self.counters.last_error = outcome.reason
        self.counters.last_error_time = clocks.text(self._shared.clock.wall())

    def _answer(self, command: Command, outcome: Outcome) -> None:
        topic = command.response_topic
        if topic is None:
            return
        # It waited on disk, perhaps since before the configuration was another one.
        if why := refusal(topic, command.correlation_data, self._shared.own):
            _log.warning(
                "%s: no answer: the response topic %s %s", self.name, printable(topic), why
            )
            return
        payload, content_type = written(outcome)
        self._shared.answer(
            topic,
            payload,
            correlation_data=command.correlation_data,
            content_type=content_type,
            user_properties=(("handler", self.name),),
        )

    # What is kept -----------------------------------------------------------------------------------------------------

    def _knows(self, identity: str) -> bool:
        goes_on = self._current is not None and self._current[1].identity == identity
        return goes_on or identity in self._remembered or self._line.has(identity)

    def _remember(self, command: Command) -> None:
        if command.identity is not None:
            try:
                self._remembered.add(command.identity)
            except StateDirectoryError as error:
                self._report_not_kept(error)

    def _unremember(self, command: Command) -> None:
        if command.identity is not None:
            try:
                self._remembered.forget(command.identity)
            except StateDirectoryError as error:
                self._report_not_kept(error)

    def _forget_file(self, item: Waiting) -> None:
        try:
            self._line.remove(item)
        except StateDirectoryError as error:
            self._report_not_kept(error)

    def _report_not_kept(self, error: StateDirectoryError) -> None:
        title = f"Commands do not survive a restart for now. {error.title}"
        _log.warning("%s %s", title, error.remedy)
        self._shared.health.report(table.COMMANDS_NOT_KEPT.problem(title, error.remedy))


def _shown(command: Command) -> str:
    """Its topic, for the log."""
    return printable(command.topic.encode(errors="replace"))


def _limits(subscription: Subscription) -> tuple[int, int]:
    """Bytes of a message, and messages that may wait."""
    if subscription.exec is not None:
        return subscription.exec.max_size, subscription.exec.max_waiting
    if subscription.socket is not None:
        return subscription.socket.max_size, subscription.socket.max_waiting
    return (subscription.file.max_size if subscription.file is not None else 0), 0
