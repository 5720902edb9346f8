"""Wills with a Will Delay Interval: ministack would send them at once."""

import asyncio
from collections.abc import Awaitable, Callable

Key = tuple[str, str, str]  # account, region, client id


class DelayedWills:
    """The wills that wait for their client to come back, or not."""

    def __init__(self) -> None:
        self._waiting: dict[Key, tuple[asyncio.Task[None], Callable[[], Awaitable[None]]]] = {}

    def keep(self, key: Key, seconds: float, publish: Callable[[], Awaitable[None]]) -> None:
        """Publishes a client's will after so many seconds."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            self._waiting.pop(key, None)
            await publish()

        self._waiting[key] = asyncio.create_task(wait()), publish

    async def settle(self, key: Key, *, is_resumed: bool) -> None:
        """Its client is back: forget the will, or publish it if the client has ended its session by that."""
        task, publish = self._waiting.pop(key, (None, None))
        if task is None or publish is None:
            return
        task.cancel()
        if not is_resumed:
            await publish()
