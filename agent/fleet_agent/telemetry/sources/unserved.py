"""The socket that systemd holds, on a device whose configuration has no source for it: who connects reads why."""

import math
import socket
from functools import partial

from fleet_agent.clock import Clock
from fleet_agent.local_clients.lingering_close import LingeringClose
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.telemetry.sources import connection
from fleet_agent.telemetry.sources.packet import NOT_ALLOWED, PacketError, answer

_RETRY = 10.0  # seconds, where there is no descriptor for another connection


class Unserved:
    """Turns away whoever connects to a listening socket.

    Args:
        listener: The socket, not blocking.
        mailbox: Where it is watched.
        clock: For the time that a program has to read why.
    """

    def __init__(self, listener: socket.socket, mailbox: Mailbox, clock: Clock) -> None:
        self._listener = listener
        self._mailbox = mailbox
        self._clock = clock
        self._lingering = LingeringClose(mailbox, clock, bytearray(connection.SCRATCH))
        self._listen_at = -math.inf

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min(self._listen_at, self._lingering.due)

    def act(self) -> None:
        """Listens, and lets go of those that were turned away."""
        self._lingering.act()
        if self._listen_at <= self._clock.monotonic():
            self._listen_at = math.inf
            self._mailbox.watch(self._listener.fileno(), partial(self._accept, self._listener))

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError:
            self._mailbox.unwatch(listener.fileno())
            self._listen_at = self._clock.monotonic() + _RETRY
            return
        client.setblocking(False)
        why = PacketError(
            NOT_ALLOWED,
            "This agent does not accept readings from programs: its configuration has no source `socket`.",
            "Add `- socket: {}` to telemetry.sources; then: systemctl reload fleet-agent",
        )
        self._lingering.send_last(client, answer(None, why))
