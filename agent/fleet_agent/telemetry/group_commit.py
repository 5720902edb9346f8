"""When readings wait a moment for others, to share their commit. Pure.

A commit costs more CPU than many readings, and wears flash (docs/decisions/0024-bytes-on-flash.md). A sender that does
not wait for its answers sends on meanwhile: then readings that come right after a commit wait for two moments. When
that was in vain the next commits are made at once, more and more of them: who waits for each answer is not held up.
"""

import math

MOMENT = 0.005  # seconds
_MOMENTS = 2
# Seconds after a commit; what comes later is committed at once.
_SOON = 0.02
# Readings that are worth a commit.
_MANY = 64
# Commits without a wait after several in vain.
_LONGEST_REST = 256


class Sharing:
    """Decides for one commit after the other."""

    def __init__(self) -> None:
        self._moments = 0  # that were waited for
        self._sent_on = 0  # readings at the last look whose senders do not wait
        self._committed_at = -math.inf
        self._rest = 0  # commits without a wait after the last one in vain, ...
        self._left = 0  # ... and what is left of them

    def pause(self, count: int, sent_on: int, now: float) -> float:
        """Judges so many readings, and again after the pause.

        Args:
            count: Readings that wait for the commit.
            sent_on: How many of them came from a sender that has no answer yet to the one before.
            now: Monotonic seconds.

        Returns:
            Seconds to leave alone what comes; 0: the commit is due.
        """
        is_worth_it, self._sent_on = sent_on > self._sent_on, sent_on
        if count >= _MANY:
            return 0.0
        if self._moments == 0:
            if now > self._committed_at + _SOON:
                return 0.0
            if self._left:
                self._left -= 1
                return 0.0
        elif not is_worth_it:
            self._left = self._rest = min(2 * self._rest + 1, _LONGEST_REST)
            return 0.0
        if self._moments == _MOMENTS:
            self._rest = 0
            return 0.0
        self._moments += 1
        return MOMENT

    def committed(self, now: float) -> None:
        """Begins again: they are committed."""
        self._moments = self._sent_on = 0
        self._committed_at = now
