"""Sends readings and keeps each until AWS has acknowledged it, inside a bound; the oldest go first, counted.

What it does not do: survive the process. Readings wait in memory.
"""

import collections
import dataclasses
import itertools

from fleet_agent.session.mqtt import NOT_AUTHORIZED, Published, Session

WINDOW = 20  # unacknowledged at a time; AWS allows 100 on a connection
CAPACITY = 1000  # readings that wait while there is no connection

_SUCCESS = (0, 16)  # PUBACK: success, no matching subscribers


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outgoing:
    """One message to publish."""

    topic: str
    payload: bytes


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Taken:
    """A message with its place in the order they came in."""

    place: int
    message: Outgoing


class Publisher:
    """Messages on their way up over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: collections.deque[_Taken] = collections.deque()
        self._sent: set[_Taken] = set()
        self._places = itertools.count()
        self._is_connected = False
        self.acknowledged = 0
        self.dropped = 0
        self.refused_topic: str | None = None

    def put(self, message: Outgoing) -> None:
        """Take a message; when too many wait the oldest is dropped and counted."""
        if len(self._waiting) >= CAPACITY:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(_Taken(place=next(self._places), message=message))
        self._pump()

    @property
    def waiting(self) -> int:
        """Messages not acknowledged yet."""
        return len(self._waiting) + len(self._sent)

    def connected(self) -> None:
        """The connection stands: send."""
        self._is_connected = True
        self._pump()

    def disconnected(self) -> None:
        """The connection ended: what was not acknowledged comes back by its ``Published`` events."""
        self._is_connected = False

    def published(self, event: Published) -> None:
        """A PUBACK, or the end of waiting for one."""
        taken = event.tag
        if not isinstance(taken, _Taken) or taken not in self._sent:
            return
        self._sent.remove(taken)
        if event.reason_code is None:
            self._put_back(taken)  # at least once: it may arrive twice, it is not lost
        elif event.reason_code in _SUCCESS:
            self.acknowledged += 1
            self.refused_topic = None
        else:
            # Refused for good by policy, or not worth a tight loop: counted and shown, never silent.
            self.dropped += 1
            is_policy = event.reason_code == NOT_AUTHORIZED
            self.refused_topic = taken.message.topic if is_policy else None
        self._pump()

    def _put_back(self, taken: _Taken) -> None:
        """To its old place: a connection's end gives back a whole window, in the order it was sent."""
        index = 0
        while index < len(self._waiting) and self._waiting[index].place < taken.place:
            index += 1
        self._waiting.insert(index, taken)

    def _pump(self) -> None:
        while self._is_connected and self._waiting and len(self._sent) < WINDOW:
            taken = self._waiting.popleft()
            self._sent.add(taken)
            self._session.publish(taken.message.topic, taken.message.payload, taken)
