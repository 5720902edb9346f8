"""Recognises copies of a message: a server may send one for each filter that the message matches.

A filter that another one covers is not subscribed to, but filters that overlap are (``a/+`` and ``+/b``). Whether the
server sends copies shows with the first message that could have some: they come at once, or never.
"""

import logging
import math

from fleet_agent.session.events import Message

_log = logging.getLogger(__name__)

# Seconds from a message to its copies: while it is unknown whether there are any, and once it is known.
FIRST, LATER = 2.0, 60.0


# Of a message, by what it is: how many copies may come, and until when (monotonic seconds); in the order of the latter.
_Expected = dict[int, tuple[int, float]]


class Copies:
    """Remembers the messages of the last minute that may come once more."""

    def __init__(self) -> None:
        self._expected: _Expected = {}
        # By shared subscriptions: each copy may go to another member of the group, whatever the server does else.
        self._shared: _Expected = {}
        self._are_sent: bool | None = None

    def connected(self) -> None:
        """Starts over on a new connection, perhaps to another server."""
        self._are_sent = None

    def has(self, message: Message, count: int, shared: int, now: float) -> bool:
        """Whether it is a copy of one that came before.

        Args:
            message: That came.
            count: How many filters bring it.
            shared: How many shared subscriptions may bring it, too.
            now: Monotonic seconds.
        """
        if _next_end(self._expected) < now:
            # What could have had a copy had none; the next of the same content is another message.
            self._expected.clear()
            self._are_sent = False
        while _next_end(self._shared) < now:
            del self._shared[next(iter(self._shared))]
        if count + shared < 2:  # noqa: PLR2004 - one is no copy of itself
            return False
        mark = _mark(message)
        if _take(self._expected, mark):
            self._learn()
            return True
        if _take(self._shared, mark):
            return True
        if count > 1 and self._are_sent is not False:
            self._expected[mark] = count - 1, now + (LATER if self._are_sent else FIRST)
        if shared:
            self._shared[mark] = shared - (not count), now + FIRST
        return False

    def _learn(self) -> None:
        if not self._are_sent:
            self._are_sent = True
            _log.info(
                "the server sends a message once for each filter that it matches; the duplicates are ignored"
            )


def _next_end(expected: _Expected) -> float:
    return next(iter(expected.values()), (0, math.inf))[1]


def _take(expected: _Expected, mark: int) -> bool:
    """Takes one of the copies that may come; whether there was one."""
    left, until = expected.pop(mark, (0, 0.0))
    if left > 1:
        expected[mark] = left - 1, until
    return left > 0


def _mark(message: Message) -> int:
    beside = message.response_topic, message.correlation_data, message.content_type
    return hash((message.topic, message.payload, *beside, message.user_properties))
