"""A listening Unix socket: opened, again when somebody removed it, given to a group, and who comes let in."""

import errno
import logging
import math
import os
import socket
from collections.abc import Callable
from pathlib import Path

from fleet_agent import files
from fleet_agent.clock import Clock
from fleet_agent.errors import StateDirectoryError
from fleet_agent.listeners import Listeners
from fleet_agent.local_clients import users
from fleet_agent.mailbox import Mailbox

_log = logging.getLogger(__name__)

RETRY = 10.0  # seconds between tries to open it
LOOK = 20.0  # seconds between looks at whether it is still there: each is a wake-up
_FOR_ALL = 0o666
_FOR_GROUP = 0o660
_NOT_NOW = {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR}


class Door:
    """Lets programs in; what is wrong with it goes to ``opened`` and ``failed``.

    Args:
        path: Of the socket, in the runtime directory.
        listeners: Keep it open when this process is replaced.
        mailbox: Where it is watched.
        clock: For deadlines.
        admit: Gets a connection, not blocking, and its user's number.
        opened: The socket is there; hears what is wrong all the same, a sentence, or None.
        failed: It cannot be opened; hears why. It is tried again.
        group: Who may open it, beside the agent's own user; None: nobody.
        is_for_all: Every user may, and no group is asked for.
    """

    def __init__(  # noqa: PLR0913 - of a door, all of it
        self,
        path: Path,
        listeners: Listeners,
        mailbox: Mailbox,
        clock: Clock,
        *,
        admit: Callable[[socket.socket, int], None],
        opened: Callable[[str | None], None],
        failed: Callable[[str], None],
        group: str | None = None,
        is_for_all: bool = False,
    ) -> None:
        self.path = path
        self._listeners = listeners
        self._mailbox = mailbox
        self._clock = clock
        self._admit = admit
        self._opened = opened
        self._failed = failed
        self._group = group
        self._is_for_all = is_for_all
        self._listener: socket.socket | None = None
        self._why: str | None = None  # not all who may can open it
        self.due = clock.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether programs can come in."""
        return self._listener is not None

    def act(self) -> None:
        """Opens the socket, or tries to again; sees whether it is still there."""
        now = self._clock.monotonic()
        if now < self.due:
            return
        self.due = now + LOOK
        if self._listener is not None:
            if self._listeners.is_there(self.path):
                if self._why:
                    self._look_again()
                return
            _log.warning("%s was removed, or replaced: it is made again", self.path)
            self._stop()
        self._listen()

    def close(self) -> None:
        """Lets nobody in any more; who connects now waits for the next image of this process."""
        self._stop()
        self.due = math.inf

    def _listen(self) -> None:
        try:
            files.make_folder(self.path.parent, 0o755, parents=False)
            # Those who may open it may do so from the moment that its path is there.
            self._listener = self._listeners.listen(self.path, self._open_up)
        except (OSError, StateDirectoryError) as error:
            self.due = self._clock.monotonic() + RETRY
            words = getattr(error, "strerror", None) or str(error).rstrip(".")
            self._failed(f"cannot listen on {self.path}: {words}")
            return
        self._mailbox.watch(self._listener.fileno(), self._accept)
        # One that is taken over may have been for others.
        self._why = self._open_up(self.path)
        self._opened(self._why)

    def _look_again(self) -> None:
        """The group may be there by now."""
        before, self._why = self._why, self._open_up(self.path)
        if self._why != before:
            self._opened(self._why)

    def _stop(self) -> None:
        if self._listener is not None:
            self._mailbox.unwatch(self._listener.fileno())
            self._listener = None

    def _open_up(self, path: Path) -> str | None:
        """Lets those open it who may, and nobody else unless systemd holds it; None, or why they cannot."""
        if self._is_for_all:
            return self._open_to_all(path)
        is_ours = self.path not in self._listeners.given()
        try:
            if is_ours:
                # For the configuration before it may have been open to all, or to another group.
                path.chmod(_FOR_GROUP)
            why = None if self._group is None else self._give_to(path, self._group)
            # The unit allows nobody to give files away, so nothing is given that is there already.
            if is_ours and (why or self._group is None) and path.stat().st_gid != os.getegid():
                os.chown(path, -1, os.getegid())
        except OSError as error:
            return f"{self.path} may be open to others: {error.strerror}"
        return why

    def _open_to_all(self, path: Path) -> str | None:
        try:
            # Where systemd holds it, its socket unit may have done it.
            if path.stat().st_mode & _FOR_ALL != _FOR_ALL:
                path.chmod(_FOR_ALL)
        except OSError as error:
            return f"{self.path} is not open to all users: {error.strerror}"
        return None

    def _give_to(self, path: Path, group: str) -> str | None:
        import grp

        try:
            number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
            # Where systemd holds it, its socket unit may have done it.
            if path.stat().st_gid != number:
                os.chown(path, -1, number)
        except (KeyError, OverflowError):
            return f"there is no group {group}"
        except OSError:
            if not users.are_seen():
                return f"the unit's PrivateUsers=yes hides the group {group}"
            return (
                f"the agent is no member of the group {group}, so it cannot give it the socket; "
                "fleet-agent.socket can, by SocketGroup= in a drop-in"
            )
        return None

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            if error.errno not in _NOT_NOW:  # no descriptor left: later
                self._stop()
                self._listeners.drop(self.path)
                self.due = self._clock.monotonic() + RETRY
            return
        client.setblocking(False)
        self._admit(client, users.of_peer(client))
