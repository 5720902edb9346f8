"""Finds the message that makes the server end the connection, without losing others. Pure: the caller passes the time.

A server that does not accept a message may end the connection instead of answering, which cuts off everything in
flight. Messages that were cut off soon after they were sent, on two connections in a row, are then sent one at a time
until acknowledged. If a topic's message was alone when the connection ended, its readings go one by one; what was alone
twice is the culprit. A connection that ends long after the last message was sent has ended for another reason, such as
the network.
"""

import collections
from collections.abc import Hashable, Iterator, Sequence

from fleet_agent.record import mutable

# Seconds from sending to the end: a server that rejects a message so does it at once.
QUICK = 10.0
_TWICE = 2


@mutable
class _Suspect:
    left: int = 0  # messages to be sent alone
    cuts: int = 0  # how often some of them were among others when the connection ended, ...
    strikes: int = 0  # ... and how often one was alone


class Suspects:
    """Suspected topics and answers."""

    def __init__(self) -> None:
        self._suspects: dict[Hashable, _Suspect] = {}

    def cut(self, flying: Sequence[tuple[Hashable, int, float]], now: float) -> bool:
        """Judges what was in flight when the connection ended.

        Args:
            flying: For each message its topic or answer, how many readings, and when it was sent (monotonic seconds).
            now: Monotonic seconds.

        Returns:
            Whether the only message in flight is the culprit.
        """
        if not flying or now - max(at for _, _, at in flying) > QUICK:
            return False
        if len(flying) > 1:
            for key, count in collections.Counter(key for key, _, _ in flying).items():
                suspect = self._suspects.setdefault(key, _Suspect())
                suspect.left = max(suspect.left, count)
                suspect.cuts += 1
            return False
        ((key, count, _),) = flying
        suspect = self._suspects.setdefault(key, _Suspect())
        suspect.left = max(suspect.left, count)
        suspect.strikes += 1
        if suspect.strikes < _TWICE:
            return False
        # Readings that shared a message with it were cut off as often: once more is enough for each.
        self.cleared(key)
        return True

    def cleared(self, key: Hashable) -> None:
        """Notes that one of its messages was answered or dropped."""
        if suspect := self._suspects.get(key):
            suspect.left -= 1
            if suspect.left <= 0:
                del self._suspects[key]

    def discard(self, key: Hashable) -> None:
        """Removes a suspect that has nothing left to send."""
        self._suspects.pop(key, None)

    def was_alone(self, key: Hashable) -> bool:
        """Whether one of its messages was alone when the connection ended."""
        return key in self._suspects and self._suspects[key].strikes > 0

    def __bool__(self) -> bool:
        return bool(self._suspects)

    def __iter__(self) -> Iterator[Hashable]:
        """Iterates over what is to be sent alone."""
        return iter(
            [
                key
                for key, suspect in self._suspects.items()
                if suspect.strikes or suspect.cuts >= _TWICE
            ]
        )
