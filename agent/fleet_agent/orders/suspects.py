"""Finds a message that ends the connection each time it arrives, so that it can be set aside.

AWS sends a message again until it is acknowledged. If handling or acknowledging it ends the connection, that repeats
for ever, and nothing behind it is reached. Only the last message that was handled before an end is suspected, and
only if the end followed soon. After ``TIMES`` ends it is acknowledged and no longer handled.
"""

import collections
import zlib

from fleet_agent.session.events import Message

SOON = 5.0  # seconds from a message to the end that it is suspected of
TIMES = 3  # ends after which a message is set aside
_KEPT = 64  # messages that are remembered


class Suspects:
    """Remembers which messages came right before an end of the connection."""

    def __init__(self) -> None:
        self._ends: collections.OrderedDict[tuple[str, int, int], int] = collections.OrderedDict()
        self._last: tuple[tuple[str, int, int], float] | None = None

    def is_set_aside(self, message: Message) -> bool:
        """Whether it ended the connection too often."""
        return self._ends.get(_mark(message), 0) >= TIMES

    def handled(self, message: Message, now: float) -> None:
        """Notes that it was, or is being, handled at ``now`` (monotonic seconds)."""
        self._last = (_mark(message), now)

    def ended(self, now: float) -> None:
        """Handles the end of the connection."""
        if self._last is not None and now - self._last[1] <= SOON:
            mark = self._last[0]
            self._ends[mark] = self._ends.pop(mark, 0) + 1
            if len(self._ends) > _KEPT:
                self._ends.popitem(last=False)
        self._last = None

    def forget(self) -> None:
        """Forgets all once a connection has lasted for a while: an equal message is then a new one."""
        self._ends.clear()


def _mark(message: Message) -> tuple[str, int, int]:
    """Returns what identifies a message when it arrives again."""
    beside = repr((message.response_topic, message.correlation_data, message.user_properties))
    content = zlib.crc32(beside.encode(errors="replace"), zlib.crc32(message.payload))
    return message.topic, len(message.payload), content
