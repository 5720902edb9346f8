"""Notices clients that are silent for longer than its keep-alive allows."""

import asyncio
from collections.abc import Awaitable, Callable

# MQTT's own: one and a half times the keep-alive.
GRACE = 1.5


class KeepAlive:
    """Watches one connection.

    Args:
        expired: Awaited once, when the client was silent for too long.
    """

    def __init__(self, expired: Callable[[], Awaitable[None]]) -> None:
        self._expired = expired
        self._seconds = 0.0
        self._received_at = 0.0
        self._busy = 0
        self._watching: asyncio.Task[None] | None = None

    def start(self, keep_alive: int) -> None:
        """Watches from now on; 0 watches nothing."""
        self._seconds = keep_alive * GRACE
        self.received()
        if keep_alive:
            self._watching = asyncio.create_task(self._watch())

    def received(self) -> None:
        """Notes a sign of life."""
        self._received_at = asyncio.get_running_loop().time()

    def begin(self) -> None:
        """A packet is being handled: what follows it cannot be received meanwhile."""
        self._busy += 1

    def end(self) -> None:
        """The packet is dealt with."""
        self._busy -= 1
        self.received()

    def stop(self) -> None:
        """Watches no more."""
        if self._watching is not None and self._watching is not asyncio.current_task():
            self._watching.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            left = self._received_at + self._seconds - loop.time()
            if left <= 0 and not self._busy:
                await self._expired()
                return
            await asyncio.sleep(max(left, self._seconds / 10))
