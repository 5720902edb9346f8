"""``telemetry.sock``: readings of other programs of this device, a packet each, answered once they are durable.

The kernel names the sender's user (SO_PEERCRED). A client that sends faster than the disk takes, or does not read its
answers, is not read from until that changes: it waits, the agent does not.
"""

import socket
from pathlib import Path

from fleet_agent.config.readings import SocketSource
from fleet_agent.local_clients.admission import Admission
from fleet_agent.local_clients.lingering_close import LingeringClose
from fleet_agent.local_clients.unix_listener import UnixListener
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.telemetry.sources import connection
from fleet_agent.telemetry.sources.allow_list import AllowList
from fleet_agent.telemetry.sources.connection import Connection
from fleet_agent.telemetry.sources.feed import Feed
from fleet_agent.telemetry.sources.packet import BUSY, PacketError, answer

MAX_CONNECTIONS = 64


class Socket:
    """Listens for programs that send readings.

    Args:
        settings: The source's own.
        feed: Where readings go when they name no topic, and problems.
        mailbox: Where its descriptors are watched.
        path: Of the socket, in the runtime directory.
        listeners: Keep it open when this process is replaced.
        allowed: Who may send what.
    """

    def __init__(
        self,
        settings: SocketSource,
        feed: Feed,
        mailbox: Mailbox,
        path: Path,
        listeners: Listeners,
        allowed: AllowList,
    ) -> None:
        self.name = feed.name
        self.path = path
        self.listener = UnixListener(
            path,
            listeners,
            mailbox,
            feed.clock,
            admit=self._admit,
            opened=self._opened,
            failed=self._failed,
            group=settings.group,
        )
        self._feed = feed
        self._mailbox = mailbox
        self._allowed = allowed
        self._admission = Admission()
        self._scratch = bytearray(connection.SCRATCH)
        self._lingering = LingeringClose(mailbox, feed.clock, self._scratch)

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min(self.listener.due, self._lingering.due)

    def act(self) -> None:
        """Opens the socket, or retries; checks that it still exists."""
        self._lingering.act()
        self.listener.act()

    def close(self) -> None:
        """Closes all connections; new ones wait for the next image of this process."""
        for client in self._admission:
            client.close()
        self._lingering.close()
        self.listener.close()

    def _opened(self, why: str | None) -> None:
        problems = [*self._allowed.problems, *([] if why is None else [why])]
        if problems:
            self._feed.fails(
                "; ".join(problems) + ".",
                "See docs/how-to/send-readings.md: who may send.",
            )
        else:
            self._feed.works()

    def _failed(self, why: str) -> None:
        self._feed.fails(
            f"{why}.",
            "Check the runtime directory's owner and mode; its path may have at most 90 characters.",
        )

    def _admit(self, client: socket.socket, user: int) -> None:
        if len(self._admission) >= MAX_CONNECTIONS:
            someone = self._admission.to_evict(user, self._feed.clock.monotonic())
            if someone is None:
                self._lingering.send_last(client, answer(None, _full()))
                return
            someone.evict()
        Connection(
            client,
            self._allowed.rights(user, self._feed.topic),
            self._admission.usage(user),
            self._feed,
            self._mailbox,
            lingering=self._lingering,
            scratch=self._scratch,
        )


def _full() -> PacketError:
    return PacketError(
        BUSY,
        f"{MAX_CONNECTIONS} programs are already connected.",
        "A program needs only one; close others.",
    )
