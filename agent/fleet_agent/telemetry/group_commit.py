"""Group commit: when readings wait a moment for others, to be committed together. Pure.

A commit costs more CPU than many readings, and wears flash (docs/decisions/0024-bytes-on-flash.md). A sender that does
not wait for its answers keeps sending meanwhile, so readings that arrive right after a commit wait for two moments. If
that was in vain, the next commits are immediate, more of them each time: a sender that waits for every answer is not
held up.
"""

import math

MOMENT = 0.01
_MOMENTS = 2
# Seconds after a commit; later readings are committed at once.
_SOON = 0.02
# Readings worth a commit of their own.
_MANY = 128
# Immediate commits after repeated waits in vain, at most.
_LONGEST_REST = 256


class GroupCommit:
    """Decides for each commit in turn."""

    def __init__(self) -> None:
        self._moments = 0  # waited so far
        self._sent_on = 0  # readings, at the last check, whose senders do not wait
        self._committed_at = -math.inf
        self._rest = 0  # immediate commits after the last wait in vain, ...
        self._left = 0  # ... and how many of them remain

    def pause(self, count: int, sent_on: int, now: float) -> float:
        """Decides whether to commit now; called again after the pause.

        Args:
            count: Readings that wait for the commit.
            sent_on: How many of them came from a sender that still lacks the answer to its previous one.
            now: Monotonic seconds.

        Returns:
            Seconds to wait for more; 0: commit now.
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
        """Starts over after a commit."""
        self._moments = self._sent_on = 0
        self._committed_at = now
