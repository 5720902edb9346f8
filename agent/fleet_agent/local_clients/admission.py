"""Connections by user, and which of them gives its place up when there is none left.

No user locks another out: while there is room everybody gets a place; when there is none, the user with the most
connections loses one to a user with fewer, and among one user's, who has been idle for long loses it to who comes.
"""

from collections.abc import Iterator
from typing import Protocol

# Seconds without a packet until another program of the same user may need the place more.
IDLE = 60.0


class Guest(Protocol):
    """One connection, as far as its place goes."""

    heard_at: float  # when its last packet came (monotonic seconds)

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for an answer, or for AWS."""

    def go_on(self) -> None:
        """Others of the same user have less open: it may be read from again."""

    def turn_away(self) -> None:
        """Ends it, for another program's sake; its program reads why."""

    def close(self) -> None:
        """Ends it."""


class Share:
    """What the connections of one user have open, together, also those that are closed since."""

    __slots__ = ("bytes", "guests", "held", "waits")

    def __init__(self) -> None:
        self.guests: set[Guest] = set()
        self.held: set[Guest] = set()  # not read from, since there is too much open
        self.bytes = 0  # of payloads that are not durable yet
        self.waits = 0  # readings of which it is to hear when AWS has them

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left of the user."""
        return not (self.guests or self.bytes or self.waits)


class Shares:
    """All connections, by user."""

    def __init__(self) -> None:
        self._shares: dict[int, Share] = {}

    def __len__(self) -> int:
        return sum(len(share.guests) for share in self._shares.values())

    def __iter__(self) -> Iterator[Guest]:
        for share in list(self._shares.values()):
            yield from list(share.guests)

    def share(self, user: int) -> Share:
        """What a user has; others of whom nothing is left are forgotten."""
        for other in [other for other, share in self._shares.items() if share.is_idle]:
            del self._shares[other]
        return self._shares.setdefault(user, Share())

    def who_goes(self, user: int, now: float) -> Guest | None:
        """Who gives its place to a newcomer of this user; None: no connection has to.

        Args:
            user: The newcomer's.
            now: Monotonic seconds.
        """
        own = self.share(user).guests
        most = max((share.guests for share in self._shares.values()), key=len, default=own)
        if len(most) > len(own) + 1:
            return min(most, key=lambda guest: (guest.is_waiting, guest.heard_at))
        idle = [guest for guest in own if not guest.is_waiting and now - guest.heard_at >= IDLE]
        return min(idle, key=lambda guest: guest.heard_at, default=None)
