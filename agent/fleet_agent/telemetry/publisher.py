"""Sends readings and keeps each until AWS has acknowledged it, inside a bound; the oldest go first, counted.

What it does not do: survive the process. Readings wait in memory.
"""

import collections
import dataclasses

from fleet_agent.session.mqtt import NOT_AUTHORIZED, Published, Session

WINDOW = 20  # unacknowledged at a time; AWS allows 100 on a connection
CAPACITY = 1000  # readings that wait while there is no connection

_SUCCESS = (0, 16)  # PUBACK: success, no matching subscribers


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outgoing:
    """One message to publish."""

    topic: str
    payload: bytes


class Publisher:
    """Messages on their way up over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: collections.deque[Outgoing] = collections.deque()
        self._sent: set[Outgoing] = set()
        self._is_connected = False
        self.acknowledged = 0
        self.dropped = 0
        self.refused_topic: str | None = None

    def put(self, message: Outgoing) -> None:
        """Take a message; when too many wait the oldest is dropped and counted."""
        if len(self._waiting) >= CAPACITY:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(message)
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
        message = event.tag
        if not isinstance(message, Outgoing) or message not in self._sent:
            return
        self._sent.remove(message)
        if event.reason_code is None:
            self._waiting.appendleft(message)  # at least once: it may arrive twice, it is not lost
        elif event.reason_code in _SUCCESS:
            self.acknowledged += 1
            self.refused_topic = None
        else:
            # Refused for good by policy, or not worth a tight loop: counted and shown, never silent.
            self.dropped += 1
            self.refused_topic = message.topic if event.reason_code == NOT_AUTHORIZED else None
        self._pump()

    def _pump(self) -> None:
        while self._is_connected and self._waiting and len(self._sent) < WINDOW:
            message = self._waiting.popleft()
            self._sent.add(message)
            self._session.publish(message.topic, message.payload, message)
