"""``telemetry.sock``: readings of other programs of this device, a packet each, answered once they are durable.

Whoever sends is known by the kernel's word (SO_PEERCRED). A client that sends faster than the disk takes, or does not
read its answers, is not read from until that changes: it waits, the agent does not.
"""

import errno
import logging
import math
import os
import socket
import struct
from pathlib import Path

from fleet_agent import files
from fleet_agent.config.telemetry import SocketSource
from fleet_agent.errors import StateDirectoryError
from fleet_agent.listeners import Listeners
from fleet_agent.mailbox import Mailbox
from fleet_agent.telemetry.sources import connection
from fleet_agent.telemetry.sources.connection import Connection
from fleet_agent.telemetry.sources.farewell import Farewells
from fleet_agent.telemetry.sources.feed import Feed
from fleet_agent.telemetry.sources.packet import BUSY, PacketError, answer
from fleet_agent.telemetry.sources.places import Places
from fleet_agent.telemetry.sources.rights import AllowList, sees_users

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
RETRY = 10.0  # seconds between tries to open it
LOOK = 10.0  # seconds between looks at whether it is still there
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
        self._connections = Places()
        self._scratch = bytearray(connection.SCRATCH)
        self._farewells = Farewells(mailbox, feed.clock, self._scratch)
        self._look_at = feed.clock.monotonic()

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min(self._look_at, self._farewells.due)

    def act(self) -> None:
        """Open the socket, or try to again; see whether it is still there."""
        self._farewells.act()
        now = self._feed.clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK
        if self._listener is not None:
            if self._listeners.is_there(self.path):
                return
            _log.warning("%s was removed, or replaced: it is made again", self.path)
            self._stop_listening()
        self._listen()

    def _listen(self) -> None:
        try:
            files.make_folder(self.path.parent, 0o755)
            self._listener = self._listeners.listen(self.path)
        except (OSError, StateDirectoryError) as error:
            why = getattr(error, "strerror", None) or error
            self._feed.fails(
                f"cannot listen on {self.path}: {why}.",
                "Look at the runtime directory's owner and mode; its path may have at most 90 characters.",
            )
            self._look_at = self._feed.clock.monotonic() + RETRY
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
        for client in self._connections:
            client.close()
        self._farewells.close()
        self._stop_listening()
        self._look_at = math.inf

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._mailbox.unwatch(self._listener.fileno())
            self._listener = None

    def _give_to(self, group: str) -> str:
        import grp

        try:
            number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
            if self.path.stat().st_gid != number:
                os.chown(self.path, -1, number)
        except KeyError:
            return f"there is no group {group}"
        except OSError:
            if not sees_users():
                return f"the unit's PrivateUsers=yes hides the group {group}"
            return (
                f"the agent is no member of the group {group}, so it cannot give it the socket; "
                "fleet-agent.socket can, by SocketGroup= in a drop-in"
            )
        return ""

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            if error.errno not in _NOT_NOW:  # no descriptor left: later
                self._stop_listening()
                self._listeners.drop(self.path)
                self._look_at = self._feed.clock.monotonic() + RETRY
            return
        client.setblocking(False)
        credentials = client.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        _, user, _ = struct.unpack("3i", credentials)
        if len(self._connections) >= MAX_CONNECTIONS:
            someone = self._connections.who_goes(user, self._feed.clock.monotonic())
            if someone is None:
                self._farewells.send_last(client, answer(None, _full()))
                return
            someone.turn_away(_makes_room())
        Connection(
            client,
            self._allowed.rights(user, self._feed.topic),
            self._connections.share(user),
            self._feed,
            self._mailbox,
            farewells=self._farewells,
            scratch=self._scratch,
        )


def _full() -> PacketError:
    return PacketError(
        BUSY, f"{MAX_CONNECTIONS} programs are connected already.", "Close some; keep one."
    )


def _makes_room() -> PacketError:
    return PacketError(
        BUSY,
        f"All {MAX_CONNECTIONS} places are taken, and another program needs this one more.",
        "Connect again when there is something to send.",
    )
