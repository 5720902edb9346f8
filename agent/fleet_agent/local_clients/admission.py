"""Connections by user, and which of them is closed for a new one when there are too many.

No user locks another out: below the limit every connection is admitted; at the limit, the user with the most
connections loses one to a user with fewer, and within one user a long-idle connection gives way to a new one.
"""

from collections.abc import Iterator
from typing import Protocol

# Seconds without a packet after which a connection gives way to another of the same user.
IDLE = 60.0


class Client(Protocol):
    """A connection, as admission sees it."""

    active_at: float  # when its last packet came (monotonic seconds)

    @property
    def is_waiting(self) -> bool:
        """Whether it is waiting for an answer, or for AWS."""

    def resume(self) -> None:
        """Reads from it again: the user has less outstanding now."""

    def evict(self) -> None:
        """Closes it in favour of another program; its own program receives the reason."""

    def close(self) -> None:
        """Closes it."""


class Usage:
    """What one user's connections have outstanding together, including those closed meanwhile."""

    __slots__ = ("bytes", "clients", "held", "waits")

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self.held: set[Client] = set()  # not read from: too much is outstanding
        self.bytes = 0  # of payloads that are not durable yet
        self.waits = 0  # readings whose senders wait for AWS

    @property
    def is_idle(self) -> bool:
        """Whether the user has nothing connected or outstanding."""
        return not (self.clients or self.bytes or self.waits)


class Admission:
    """All connections, by user."""

    def __init__(self) -> None:
        self._usages: dict[int, Usage] = {}

    def __len__(self) -> int:
        return sum(len(usage.clients) for usage in self._usages.values())

    def __iter__(self) -> Iterator[Client]:
        for usage in list(self._usages.values()):
            yield from list(usage.clients)

    def usage(self, user: int) -> Usage:
        """Returns a user's usage, and drops that of idle users."""
        for other in [other for other, usage in self._usages.items() if usage.is_idle]:
            del self._usages[other]
        return self._usages.setdefault(user, Usage())

    def to_evict(self, user: int, now: float) -> Client | None:
        """Returns the connection to close for a new one of this user; None: the new one is refused.

        Args:
            user: Of the new connection.
            now: Monotonic seconds.
        """
        own = self.usage(user).clients
        most = max((usage.clients for usage in self._usages.values()), key=len, default=own)
        if len(most) > len(own) + 1:
            return min(most, key=lambda client: (client.is_waiting, client.active_at))
        idle = [
            client for client in own if not client.is_waiting and now - client.active_at >= IDLE
        ]
        return min(idle, key=lambda client: client.active_at, default=None)
