"""Lingering close: a refused program receives the reason before its connection is closed.

The kernel resets a connection that is closed with unread data, and discards what was sent on it. So the agent reads and
discards for a moment longer, until the program has closed its side.
"""

import contextlib
import math
import socket
from functools import partial

from fleet_agent.clock import Clock
from fleet_agent.process.mailbox import Mailbox

PATIENCE = 5.0  # seconds for a program to close its side
MOST = 32  # connections at a time; beyond that the oldest is closed
_TURN = 64  # packets discarded at a time


class LingeringClose:
    """Connections that were sent their last packet.

    Args:
        mailbox: Where they are watched.
        clock: For deadlines.
        scratch: To read into.
    """

    def __init__(self, mailbox: Mailbox, clock: Clock, scratch: bytearray) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._scratch = scratch
        self._until: dict[socket.socket, float] = {}  # in the order of the deadlines

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return next(iter(self._until.values()), math.inf)

    def act(self) -> None:
        """Closes those past their deadline."""
        now = self._clock.monotonic()
        for client in [client for client, until in self._until.items() if until <= now]:
            self._end(client)

    def send_last(self, client: socket.socket, last: bytes) -> None:
        """Sends the last packet on a connection, which its caller has stopped watching."""
        with contextlib.suppress(OSError):
            client.send(last)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        if len(self._until) >= MOST:
            self._end(next(iter(self._until)))
        self._until[client] = self._clock.monotonic() + PATIENCE
        self._mailbox.watch(client.fileno(), partial(self._read, client))

    def close(self) -> None:
        """Closes all."""
        for client in list(self._until):
            self._end(client)

    def _read(self, client: socket.socket) -> None:
        if client in self._until and self._is_over(client):
            self._end(client)

    def _is_over(self, client: socket.socket) -> bool:
        try:
            for _ in range(_TURN):
                if not client.recv_into(self._scratch):
                    return True
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def _end(self, client: socket.socket) -> None:
        del self._until[client]
        self._mailbox.unwatch(client.fileno())
        with contextlib.suppress(OSError):
            # Nothing more arrives; reading what did keeps this from becoming a reset.
            client.shutdown(socket.SHUT_RDWR)
            while client.recv_into(self._scratch):
                pass
        client.close()
