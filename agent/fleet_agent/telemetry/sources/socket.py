"""``telemetry.sock``: readings of other programs of this device, a packet each, answered once they are durable.

Whoever sends is known by the kernel's word (SO_PEERCRED). A client that sends faster than the disk takes, or does not
read its answers, is not read from until that changes: it waits, the agent does not.
"""

import contextlib
import errno
import os
import socket
import struct
from pathlib import Path

from fleet_agent.config.telemetry import SocketSource
from fleet_agent.listeners import Listeners
from fleet_agent.mailbox import Mailbox
from fleet_agent.telemetry.sources import connection
from fleet_agent.telemetry.sources.connection import Connection
from fleet_agent.telemetry.sources.feed import Feed
from fleet_agent.telemetry.sources.packet import BUSY, PacketError, answer
from fleet_agent.telemetry.sources.rights import AllowList, sees_users

MAX_CONNECTIONS = 64
RETRY = 10.0  # seconds between tries to open it
_NOT_NOW = {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR}


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
        self._listeners = listeners
        self._group = settings.group
        self._feed = feed
        self._mailbox = mailbox
        self._allowed = allowed
        self._listener: socket.socket | None = None
        self._connections: set[Connection] = set()
        self._scratch = bytearray(connection.SCRATCH)
        self.due = feed.clock.monotonic()

    def act(self) -> None:
        """Open the socket, or try to again."""
        self.due = float("inf")
        try:
            self._listener = self._listeners.listen(self.path)
        except OSError as error:
            self._feed.fails(
                f"cannot listen on {self.path}: {error.strerror or error}.",
                "Look at the runtime directory's owner and mode; its path may have at most 90 characters.",
            )
            self.due = self._feed.clock.monotonic() + RETRY
            return
        self._mailbox.watch(self._listener.fileno(), self._accept)
        problems = list(self._allowed.problems)
        if self._group is not None and (problem := self._give_to(self._group)):
            problems.append(problem)
        if problems:
            self._feed.fails(
                "; ".join(problems) + ".",
                "See docs/how-to/send-readings.md, who may send.",
            )
        else:
            self._feed.works()

    def close(self) -> None:
        """Let go of all clients, and accept no more; who connects now waits for the next image of this process."""
        for one in list(self._connections):
            one.close()
        if self._listener is not None:
            self._mailbox.unwatch(self._listener.fileno())
            self._listener = None

    def _give_to(self, group: str) -> str:
        import grp

        try:
            number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
            os.chown(self.path, -1, number)
        except KeyError:
            return f"there is no group {group}"
        except OSError:
            if not sees_users():
                return f"the unit's PrivateUsers=yes hides the group {group}"
            return f"the agent is no member of the group {group}, so it cannot give it the socket"
        return ""

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            if error.errno not in _NOT_NOW:  # no descriptor left: later
                self._mailbox.unwatch(self._listener.fileno())
                self._listeners.drop(self.path)
                self._listener = None
                self.due = self._feed.clock.monotonic() + RETRY
            return
        client.setblocking(False)
        if len(self._connections) >= MAX_CONNECTIONS:
            busy = PacketError(
                BUSY, f"{MAX_CONNECTIONS} programs are connected already.", "Close some; keep one."
            )
            with contextlib.suppress(OSError):
                client.send(answer(None, busy))
            client.close()
            return
        credentials = client.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        _, user, _ = struct.unpack("3i", credentials)
        rights = self._allowed.rights(user, self._feed.topic)
        self._connections.add(
            Connection(
                client, rights, self._feed, self._mailbox, self._connections.discard, self._scratch
            )
        )
