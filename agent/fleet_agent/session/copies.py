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


class Copies:
    """Remembers the messages of the last minute that may come once more."""

    def __init__(self) -> None:
        # Of a message: how many copies may come, and until when (monotonic seconds).
        self._expected: dict[int, tuple[int, float]] = {}
        self._are_sent: bool | None = None

    def connected(self) -> None:
        """Starts over on a new connection, perhaps to another server."""
        self._are_sent = None

    def has(self, message: Message, count: int, now: float) -> bool:
        """Whether it is a copy of one that came before.

        Args:
            message: That came.
            count: How many filters it matches.
            now: Monotonic seconds.
        """
        _, until = next(iter(self._expected.values()), (0, math.inf))
        if until < now:
            # What could have had a copy had none; the next of the same content is another message.
            self._expected.clear()
            self._are_sent = False
        if count < 2 or self._are_sent is False:  # noqa: PLR2004 - one is no copy of itself
            return False
        mark = _mark(message)
        left, until = self._expected.pop(mark, (0, 0.0))
        if not left:
            self._expected[mark] = count - 1, now + (LATER if self._are_sent else FIRST)
            return False
        if left > 1:
            self._expected[mark] = left - 1, until
        if not self._are_sent:
            self._are_sent = True
            _log.info(
                "the server sends a message once for each filter that it matches; the duplicates are ignored"
            )
        return True


def _mark(message: Message) -> int:
    beside = message.response_topic, message.correlation_data, message.content_type
    return hash((message.topic, message.payload, *beside, message.user_properties))
