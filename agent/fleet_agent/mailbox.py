"""The one queue between everything that happens and the one thread that decides.

The network library's callbacks, signal handlers and readers put an event in and return; only the main thread takes
events out. A request to stop is remembered: whoever waits, or waits next, gets ``StopRequested`` and unwinds.
"""

import queue
import signal
import types
from collections.abc import Callable

from fleet_agent.clock import Clock


class StopRequested(Exception):  # noqa: N818 - nothing failed
    """Somebody asked the agent to end (SIGTERM, SIGINT)."""


class TimeUp(Exception):  # noqa: N818 - the caller knows what it waited for
    """The overall limit that the user gave has passed."""


class _Stop:
    """The event that a stop signal leaves."""


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
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._beat = beat
        self._beat_every = beat_every
        self._stopping = False
        self._deadline: float | None = None

    def limit(self, deadline: float | None) -> None:
        """End the wait under way at ``deadline`` (monotonic seconds), and the next with ``TimeUp``; None: no limit.

        So whoever waits can still say what for.
        """
        self._deadline = deadline

    def put(self, event: object) -> None:
        """Leave an event; safe from any thread and from signal handlers."""
        self._events.put(event)

    def stop_on_signals(self) -> None:
        """Turn SIGTERM and SIGINT into a request to stop."""

        def ask_to_stop(_number: int, _frame: types.FrameType | None) -> None:
            self._events.put(_Stop())

        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)

    def wait(self, until: float) -> object | None:
        """Take the next event, or None once ``until`` (monotonic seconds) has passed.

        Raises:
            StopRequested: The agent is to end.
            TimeUp: The overall limit had passed before.
        """
        if self._deadline is not None:
            if self._clock.monotonic() >= self._deadline:
                raise TimeUp
            until = min(until, self._deadline)
        while not self._stopping:
            left = until - self._clock.monotonic()
            self._beat()
            try:
                event = self._events.get(timeout=max(0.0, min(left, self._beat_every)))
            except queue.Empty:
                if left > self._beat_every:
                    continue
                return None
            if not isinstance(event, _Stop):
                return event
            self._stopping = True
        raise StopRequested

    def sleep(self, seconds: float) -> None:
        """Let time pass, dropping what arrives: for waits between attempts, when no session is open.

        Raises:
            StopRequested: The agent is to end.
            TimeUp: The overall limit has passed.
        """
        until = self._clock.monotonic() + seconds
        while self.wait(until) is not None:
            pass
