"""The one queue between everything that happens and the one thread that decides.

The network library's callbacks and signal handlers put an event in and return; descriptors (sockets, pipes, child
processes) are watched here, too. Only the main thread takes events out. A request to stop is remembered: whoever waits,
or waits next, gets ``StopRequested`` and unwinds.
"""

import collections
import contextlib
import math
import os
import select
import signal
import time
import types
import weakref
from collections.abc import Callable, Iterator

from fleet_agent.clock import Clock


class StopRequested(Exception):  # noqa: N818 - nothing failed
    """The agent was asked to end (SIGTERM, SIGINT)."""


class TimeUp(Exception):  # noqa: N818 - the caller knows what it waited for
    """The user's overall time limit has passed."""


class ReloadRequested:
    """The event that SIGHUP leaves."""


class RotateRequested:
    """The event that SIGUSR1 leaves."""


class _Chore:
    """The event that a signal leaves for whoever waits."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act


class _Stop(_Chore):
    """That of a stop signal."""


class Ready:
    """A watched descriptor is ready; ``act`` is its owner's callback."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act


WRITING, ENDING = select.POLLOUT, 0

# Events that are taken before the descriptors get another look: neither side starves the other.
_BURST = 64
_BEAT_PAUSE = 1.0  # seconds between proofs of life while events pour in


_REQUESTS = (signal.SIGHUP, signal.SIGUSR1)
_STOPS = (signal.SIGTERM, signal.SIGINT)


def hold_requests() -> None:
    """Keeps requests by signal waiting until somebody takes them, over ``exec`` too: they would end the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)


def hold_stops() -> None:
    """Keeps a request to stop pending until ``stop_on_signals``, even across ``exec``: nothing handles it here."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


class Mailbox:
    """Events for the main thread.

    Args:
        clock: Where deadlines are read.
        beat: Called at least every ``beat_every`` seconds while waiting: the watchdog's proof of life.
        beat_every: Seconds.
    """

    def __init__(
        self, clock: Clock, beat: Callable[[], None] = lambda: None, beat_every: float = 3600.0
    ) -> None:
        self._clock = clock
        self._events: collections.deque[object] = collections.deque()
        self._watched: dict[int, Ready] = {}
        self._ready: collections.deque[tuple[int, Ready]] = collections.deque()
        # Requests by signal that came while somebody waited who takes none.
        self._kept: dict[type, object] = {}
        self._burst = 0
        self._is_asleep = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._wake).atexit = False
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._meanwhile: Callable[[], float] | None = None
        self._beat = beat
        self._beat_every = beat_every
        self._beaten_at = -math.inf
        self._stopping = False
        self._deadline: float | None = None

    def limit(self, deadline: float | None) -> None:
        """Ends the wait under way at ``deadline`` (monotonic seconds), and the next with ``TimeUp``; None: no limit.

        So whoever waits can still say what for.
        """
        self._deadline = deadline

    def put(self, event: object) -> None:
        """Leaves an event; safe from any thread and from signal handlers."""
        self._events.append(event)
        if self._is_asleep:  # looked at after the append, set before the last look at the events: no wake-up is lost
            os.eventfd_write(self._wake, 1)

    def watch(
        self, descriptor: int, act: Callable[[], object], events: int = select.POLLIN
    ) -> None:
        """Has ``wait`` return ``Ready(act)`` for as long as the descriptor can be read from.

        ``events`` of poll(2): ``WRITING``, can be written to; ``ENDING``, has no other side any more.
        """
        self._watched[descriptor] = Ready(act)
        self._poll.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """Watches it no more; one that is not watched is fine. Call it before closing the descriptor."""
        if self._watched.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    @contextlib.contextmanager
    def serving(self, settle: Callable[[], float]) -> Iterator[None]:
        """Has what is ready at watched descriptors done within ``wait``, whoever waits, and for what.

        Args:
            settle: Called between events; gives when it is to be called though nothing comes (monotonic seconds).
        """
        self._meanwhile = settle
        try:
            yield
        finally:
            self._meanwhile = None

    def take_requests_by_signal(self) -> None:
        """Turns SIGHUP and SIGUSR1 into events, which only ``burst`` gives out: they wait for whoever takes that."""
        signal.signal(signal.SIGHUP, lambda _number, _frame: self.put(ReloadRequested()))
        signal.signal(signal.SIGUSR1, lambda _number, _frame: self.put(RotateRequested()))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)

    def stop_on_signals(self) -> None:
        """Turns SIGTERM and SIGINT into a request to stop."""

        def ask_to_stop(_number: int, _frame: types.FrameType | None) -> None:
            self.put(_Stop(self._stop))

        for number in _STOPS:
            signal.signal(number, ask_to_stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

    def act_on(self, number: signal.Signals, act: Callable[[], object]) -> None:
        """Has ``act`` called now and after each such signal, within ``wait``, whoever waits, and for what."""
        signal.signal(number, lambda _number, _frame: self.put(_Chore(act)))
        self.put(_Chore(act))

    @property
    def is_stopping(self) -> bool:
        """Whether the agent was asked to end, taken or not."""
        return self._stopping or any(isinstance(event, _Stop) for event in self._events)

    def wait(
        self, until: float, *, although_stopping: bool = False, takes_requests: bool = False
    ) -> object | None:
        """Takes the next event, or None once ``until`` (monotonic seconds) has passed.

        Args:
            until: When to give up.
            although_stopping: For who has something to finish after ``StopRequested``.
            takes_requests: Whether requests by signal are given out; else they are kept for ``burst``.

        Raises:
            StopRequested: The agent is to end.
            TimeUp: The overall limit had passed before.
        """
        if self._deadline is not None:
            if self._clock.monotonic() >= self._deadline:
                raise TimeUp
            until = min(until, self._deadline)
        while although_stopping or not self._stopping:
            settle_at = self._meanwhile() if self._meanwhile else math.inf
            now = self._clock.monotonic()
            left = until - now
            self._live(now)
            first = min(self._beaten_at + self._beat_every, settle_at) - now
            event = self._next(max(0.0, min(left, first)))
            if event is None:
                if left > max(0.0, first):
                    continue
                return None
            if self._meanwhile and isinstance(event, Ready):
                event.act()
                # Whoever sends without end does not keep the one who waits.
                if left <= 0 and not self._events:
                    return None
            elif isinstance(event, _Chore):
                event.act()
            elif isinstance(event, ReloadRequested | RotateRequested) and not takes_requests:
                self._kept[type(event)] = event
            else:
                return event
        raise StopRequested

    def _stop(self) -> None:
        self._stopping = True

    def _live(self, now: float) -> None:
        if now >= self._beaten_at + min(self._beat_every, _BEAT_PAUSE):
            self._beaten_at = now
            self._beat()

    def burst(self, until: float, most: int) -> Iterator[object]:
        """Takes the next event and those that came with it, each when it is asked for, so that none is taken unseen.

        Requests by signal are among them, one of a kind.

        Args:
            until: When to give up on the first one (monotonic seconds); then nothing comes.
            most: How many at a time; watched descriptors are looked at again in between.

        Raises:
            StopRequested: The agent is to end.
            TimeUp: The overall limit had passed before.
        """
        while most > 0:
            kept = next(iter(self._kept), None)
            event = self._kept.pop(kept) if kept else self.wait(until, takes_requests=True)
            if event is None:
                return
            yield event
            most -= 1
            if not (self._events or self._kept):
                return
            until = -math.inf

    def _next(self, seconds: float) -> object | None:
        """The next event, or a descriptor that is ready; None when nothing came in time."""
        while self._ready:
            descriptor, ready = self._ready.popleft()
            # Not unwatched, nor another of the same number, since.
            if self._watched.get(descriptor) is ready:
                return ready
        if self._events and self._burst < _BURST:
            self._burst += 1
            return self._events.popleft()
        self._burst = 0
        self._look(seconds)
        if self._ready:
            return self._ready.popleft()[1]
        return self._events.popleft() if self._events else None

    def _look(self, seconds: float) -> None:
        self._is_asleep = True
        # Rounded up: to wake a little early would be to come back at once.
        found = self._poll.poll(0 if self._events else math.ceil(seconds * 1000))
        self._is_asleep = False
        for descriptor, _ in found:
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
            else:
                self._ready.append((descriptor, self._watched[descriptor]))

    def rest(self, seconds: float) -> None:
        """Leaves alone what comes for a moment: then it is taken together."""
        time.sleep(seconds)  # noqa: TID251 - short, and this is the Mailbox
        if not self._ready:
            self._look(0)

    def sleep(self, seconds: float) -> None:
        """Lets time pass, dropping what arrives: for waits while no session is open.

        Raises:
            StopRequested: The agent is to end.
            TimeUp: The overall limit has passed.
        """
        until = self._clock.monotonic() + seconds
        while self.wait(until) is not None:
            pass
