"""``credentials.sock``: a program sends a request and reads the answer; the kernel names its user (SO_PEERCRED)."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.errors import AgentError, TemporaryError
from fleet_agent.local_clients.admission import Admission, Usage
from fleet_agent.local_clients.lingering_close import LingeringClose
from fleet_agent.local_clients.unix_listener import UnixListener
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.mailbox import WRITING, Mailbox
from fleet_agent.vending import packet
from fleet_agent.vending.alias import Cancel
from fleet_agent.vending.packet import MAX_PACKET, Request

MAX_CONNECTIONS = 256
BURST = 64  # packets of a connection until others get their turn

Reply = Callable[[bytes], None]
# Answers a user's request once, now or later; returns what to call when the program has gone.
Serve = Callable[[int, Request, Reply], Cancel]


class Socket:
    """Listens for programs that want credentials.

    Args:
        path: Of the socket.
        group: May open it; None: everybody may.
        listeners: Keep it open when this process is replaced.
        mailbox: Where it is watched.
        clock: For deadlines.
        serve: Answers requests.
        opened: Called when the socket exists, with a sentence about its fault, or None.
        failed: Called with the reason when it cannot be opened.
    """

    def __init__(  # noqa: PLR0913 - everything it works with
        self,
        path: Path,
        *,
        group: str | None,
        listeners: Listeners,
        mailbox: Mailbox,
        clock: Clock,
        serve: Serve,
        opened: Callable[[str | None], None],
        failed: Callable[[str], None],
    ) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._serve = serve
        self._admission = Admission()
        self._scratch = bytearray(MAX_PACKET + 1)
        self._lingering = LingeringClose(mailbox, clock, self._scratch)
        self._listener = UnixListener(
            path,
            listeners,
            mailbox,
            clock,
            admit=self._admit,
            opened=opened,
            failed=failed,
            group=group,
            is_for_all=group is None,
        )

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min(self._listener.due, self._lingering.due)

    def act(self) -> None:
        """Opens it, or checks that it still exists."""
        self._lingering.act()
        self._listener.act()

    def close(self) -> None:
        """Closes all connections; new ones wait for the next image of this process."""
        for client in self._admission:
            client.close()
        self._lingering.close()
        self._listener.close()

    def _admit(self, client: socket.socket, user: int) -> None:
        now = self._clock.monotonic()
        if len(self._admission) >= MAX_CONNECTIONS:
            someone = self._admission.to_evict(user, now)
            if someone is None:
                self._lingering.send_last(client, packet.refusal(_no_place()))
                return
            someone.evict()
        usage = self._admission.usage(user)
        _Connection(
            client,
            usage,
            self._mailbox,
            self._clock,
            partial(self._serve, user),
            self._lingering,
            self._scratch,
        )


class _Connection:
    """One program: a packet, its answer, the next packet."""

    def __init__(  # noqa: PLR0913, PLR0917 - what all connections work with
        self,
        client: socket.socket,
        usage: Usage,
        mailbox: Mailbox,
        clock: Clock,
        serve: Callable[[Request, Reply], Cancel],
        lingering: LingeringClose,
        scratch: bytearray,
    ) -> None:
        self._client = client
        self._usage = usage
        self._mailbox = mailbox
        self._clock = clock
        self._serve = serve
        self._lingering = lingering
        self._scratch = scratch
        self._view = memoryview(scratch)
        self._is_open = True
        self._answer = b""  # that the program does not take yet
        self._cancel: Cancel | None = None
        self.is_waiting = False
        self._is_reading = False
        self.active_at = clock.monotonic()
        usage.clients.add(self)
        mailbox.watch(client.fileno(), self._read)

    def resume(self) -> None:
        """Does nothing: nothing is held back here."""

    def close(self) -> None:
        """Closes it."""
        if self._is_open:
            self._leave()
            self._client.close()

    def evict(self) -> None:
        """Closes it in favour of another program; its own program receives the reason."""
        if self._is_open:
            self._leave()
            self._lingering.send_last(self._client, packet.refusal(_no_place()))

    def _leave(self) -> None:
        self._is_open = False
        self._mailbox.unwatch(self._client.fileno())
        self._usage.clients.discard(self)
        if self._cancel is not None:
            self._cancel()

    def _read(self) -> None:
        self.active_at = self._clock.monotonic()
        self._is_reading = True
        for _ in range(BURST):
            try:
                size = self._client.recv_into(self._scratch)
            except BlockingIOError:
                break
            except OSError:
                size = 0
            if size == 0:
                self.close()
                return
            self._take(bytes(self._view[:size]))
            if self.is_waiting or not self._is_open:
                break
        self._is_reading = False
        if self.is_waiting and self._is_open and not self._answer:
            # While it waits, packets stay in the kernel.
            self._mailbox.unwatch(self._client.fileno())

    def _take(self, data: bytes) -> None:
        self.is_waiting = True
        try:
            if len(data) > MAX_PACKET:
                raise packet.too_large()
            request = packet.parse(data)
        except AgentError as error:
            self._send(packet.refusal(error))
        else:
            self._cancel = self._serve(request, self._send)

    def _send(self, answer: bytes) -> None:
        if not self._is_open:
            return
        try:
            self._client.send(answer)
        except BlockingIOError:
            self._answer = answer
            self._mailbox.unwatch(self._client.fileno())
            self._mailbox.watch(self._client.fileno(), self._send_again, WRITING)
            return
        except OSError:
            self.close()
            return
        self.is_waiting = False
        if not self._is_reading:
            self._mailbox.watch(self._client.fileno(), self._read)

    def _send_again(self) -> None:
        answer, self._answer = self._answer, b""
        self._mailbox.unwatch(self._client.fileno())
        self._send(answer)


def _no_place() -> TemporaryError:
    return TemporaryError(
        f"All {MAX_CONNECTIONS} connections of the socket are in use.",
        remedy="Try again; a program needs no more than one connection.",
        code="busy",
    )
