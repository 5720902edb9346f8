"""Which message ends the connection, found without losing others. Pure: the time comes in.

A server that does not like a message may end the connection rather than answer, and all that is under way is cut with
it. What was cut soon after it was sent, and so again with the next connection, goes one message at a time from then on,
until it is acknowledged. Of a topic that was alone when the connection ended readings go one by one; what was alone
twice is the culprit. A connection that ends long after the last message was sent ended for another reason, such as the
network's.
"""

import collections
from collections.abc import Hashable, Iterator, Sequence

from fleet_agent.record import mutable

# Seconds from sending to the end: a server that minds a message ends the connection at once.
QUICK = 10.0
_TWICE = 2


@mutable
class _Suspect:
    left: int = 0  # messages to be sent alone
    cuts: int = 0  # how often some of them were among others when the connection ended, ...
    strikes: int = 0  # ... and how often one was alone


class Suspects:
    """Topics and answers, by themselves."""

    def __init__(self) -> None:
        self._suspects: dict[Hashable, _Suspect] = {}

    def cut(self, flying: Sequence[tuple[Hashable, int, float]], now: float) -> bool:
        """The connection ended.

        Args:
            flying: What was under way: whose, how many readings, and when it was sent (monotonic seconds).
            now: Monotonic seconds.

        Returns:
            Whether the only one that was under way is the culprit.
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
        # Those that shared a message with it were cut as often: once more is enough for each.
        self.cleared(key)
        return True

    def cleared(self, key: Hashable) -> None:
        """A message of this was answered, or dropped."""
        if suspect := self._suspects.get(key):
            suspect.left -= 1
            if suspect.left <= 0:
                del self._suspects[key]

    def discard(self, key: Hashable) -> None:
        """There is nothing of it any more."""
        self._suspects.pop(key, None)

    def was_alone(self, key: Hashable) -> bool:
        """Whether one of its messages was alone when the connection ended."""
        return key in self._suspects and self._suspects[key].strikes > 0

    def __bool__(self) -> bool:
        return bool(self._suspects)

    def __iter__(self) -> Iterator[Hashable]:
        """Those to be sent alone."""
        return iter(
            [
                key
                for key, suspect in self._suspects.items()
                if suspect.strikes or suspect.cuts >= _TWICE
            ]
        )
