"""What waits to be sent to one client: in order, as much at once as it takes, and nothing lost on the way.

ministack writes a message to the socket from within the publisher's own call: a client that does not read would stop
everybody who publishes to it, and one that says a Receive Maximum would get more than that.
"""

import asyncio
import time
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any

# At QoS 0, unread messages beyond this number are dropped.
QOS_0_WAITING = 10_000


@dataclass(frozen=True)
class Message:
    """One message on its way to one client.

    Attributes:
        topic: where it was published.
        payload: its payload.
        qos: 0 or 1.
        properties: encoded, as they are to be sent at ``since``.
        retain: the flag it is sent with.
        since: wall clock when it came.
        acknowledged: done when the client acknowledges it, for who waits for that.
    """

    topic: str
    payload: bytes
    qos: int
    properties: bytes
    retain: bool
    since: float = field(default_factory=time.time)
    acknowledged: asyncio.Future[None] | None = None


class Outbox:
    """The messages for one connection, and how many of them it may be sent.

    Args:
        pack: Makes a message's packet, from then on in flight: its identifier (None at QoS 0) and bytes, None if the
            client does not take it.
        write: Writes a packet to the connection.

    Attributes:
        window: How many may wait for their PUBACK at once.
        sent: Identifiers that wait for their PUBACK on this connection.
    """

    def __init__(
        self,
        pack: Callable[[Message], tuple[int | None, bytes] | None],
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self.window = 0
        self.sent: set[int] = set()
        self._pack = pack
        self._write = write
        self._waiting: deque[Message] = deque()
        self._flushing: asyncio.Task[None] | None = None

    def put(self, message: Message) -> None:
        """Takes a message, and sends it if its turn has come."""
        if message.qos == 0 and len(self._waiting) >= QOS_0_WAITING:
            return
        self._waiting.append(message)
        self.flush()

    def acknowledged(self, identifier: int) -> None:
        """Notes a PUBACK, and sends what waited for it."""
        self.sent.discard(identifier)
        self.flush()

    def flush(self) -> None:
        """Sends what may be sent; who is slow to read is sent the rest while everybody continues."""
        is_flushing = self._flushing is not None and not self._flushing.done()
        if is_flushing or not self._is_next_allowed():
            return
        self._flushing = _begun(self._flush())

    def has_room(self) -> bool:
        """Whether one more message may wait for its PUBACK."""
        return len(self.sent) < self.window

    def waiting(self) -> list[Message]:
        """Returns what was not sent yet, oldest first."""
        return [*self._waiting]

    async def close(self) -> None:
        """Sends nothing any more."""
        self.window = 0
        if self._flushing is not None and not self._flushing.done():
            self._flushing.cancel()
            await asyncio.wait({self._flushing})

    def _is_next_allowed(self) -> bool:
        return bool(self._waiting) and (self._waiting[0].qos == 0 or self.has_room())

    async def _flush(self) -> None:
        while self._is_next_allowed():
            # Nothing is awaited between the two: a message either waits here or is in flight.
            packed = self._pack(self._waiting.popleft())
            if packed is None:
                continue
            identifier, packet = packed
            if identifier is not None:
                self.sent.add(identifier)
            try:
                await self._write(packet)
            except OSError:
                return  # the connection is gone; what waits is kept with the session


def _begun(flushing: Coroutine[Any, None, None]) -> asyncio.Task[None] | None:
    """Runs it as far as it gets without waiting, which is mostly to its end; returns the task that does the rest.

    A task from the beginning, for each message, would halve what the broker carries.
    """
    try:
        first = flushing.send(None)
    except StopIteration:
        return None

    @types.coroutine
    def rest() -> Generator[Any, Any, None]:
        yield first
        yield from flushing

    async def finish() -> None:
        await rest()

    return asyncio.create_task(finish())
