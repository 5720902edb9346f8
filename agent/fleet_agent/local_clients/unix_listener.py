"""A listening Unix socket: opens it, opens it again when it was removed, grants access to it, accepts connections."""

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
from fleet_agent.local_clients import users
from fleet_agent.process import starved
from fleet_agent.process.listeners import Listeners, too_long
from fleet_agent.process.mailbox import Mailbox

_log = logging.getLogger(__name__)

RETRY = 10.0  # seconds between attempts to open it
CHECK_INTERVAL = 20.0  # seconds between checks that it still exists: each is a wake-up
_FOR_ALL = 0o666
_FOR_GROUP = 0o660
_NOT_NOW = {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR}


class UnixListener:
    """Accepts local programs; reports its state to ``opened`` and ``failed``.

    Args:
        path: Of the socket, in the runtime directory.
        listeners: Keep it open when this process is replaced.
        mailbox: Where it is watched.
        clock: For deadlines.
        admit: Takes a nonblocking connection and its user id.
        opened: Called when the socket exists, with a sentence about who cannot open it, or None.
        failed: Called with the reason when it cannot be opened; it is tried again.
        group: May open it, beside the agent's own user; None: no group.
        is_for_all: Every user may open it; ``group`` is ignored.
    """

    def __init__(  # noqa: PLR0913 - everything a listener needs
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
        self._why: str | None = None  # why some who may open it cannot
        self.due = clock.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether programs can connect."""
        return self._listener is not None

    def act(self) -> None:
        """Opens the socket, or retries; checks that it still exists."""
        now = self._clock.monotonic()
        if now < self.due:
            return
        self.due = now + CHECK_INTERVAL
        if self._listener is not None:
            if self._listeners.is_there(self.path):
                if self._why:
                    self._retry_group()
                return
            _log.warning("%s was removed or replaced: creating it again", self.path)
            self._stop()
        self._listen()

    def close(self) -> None:
        """Accepts no more connections; new ones wait for the next image of this process."""
        self._stop()
        self.due = math.inf

    def _listen(self) -> None:
        try:
            files.make_folder(self.path.parent, 0o755, parents=False)
            # Access is granted before the path appears.
            self._listener = self._listeners.listen(self.path, self._grant_access)
        except (OSError, StateDirectoryError) as error:
            self.due = self._clock.monotonic() + RETRY
            why = getattr(error, "strerror", None) or str(error).rstrip(".")
            if length := too_long(self.path):
                why = f"{length}; a shorter runtime_dir helps"
            self._failed(f"cannot listen on {self.path}: {why}")
            return
        self._mailbox.watch(self._listener.fileno(), self._accept)
        # An inherited socket may have been open to others.
        self._why = self._grant_access(self.path)
        self._opened(self._why)

    def _retry_group(self) -> None:
        """Tries again: the group may exist by now."""
        before, self._why = self._why, self._grant_access(self.path)
        if self._why != before:
            self._opened(self._why)

    def _stop(self) -> None:
        if self._listener is not None:
            self._mailbox.unwatch(self._listener.fileno())
            self._listener = None

    def _grant_access(self, path: Path) -> str | None:
        """Grants access to those who may open it, and takes it from others unless systemd holds it; returns why not."""
        if self._is_for_all:
            return self._grant_to_all(path)
        is_ours = self.path not in self._listeners.given()
        try:
            if is_ours:
                # An earlier configuration may have opened it to all, or to another group.
                path.chmod(_FOR_GROUP)
            why = None if self._group is None else self._grant_to_group(path, self._group)
            # The unit's filter forbids chown to others, so it is called only where the group differs.
            if is_ours and (why or self._group is None) and path.stat().st_gid != os.getegid():
                os.chown(path, -1, os.getegid())
        except OSError as error:
            return f"{self.path} may be open to other users: {error.strerror}"
        return why

    def _grant_to_all(self, path: Path) -> str | None:
        try:
            # Where systemd holds it, its socket unit may have done it.
            if path.stat().st_mode & _FOR_ALL != _FOR_ALL:
                path.chmod(_FOR_ALL)
        except OSError as error:
            return f"{self.path} is not open to all users: {error.strerror}"
        return None

    def _grant_to_group(self, path: Path, group: str) -> str | None:
        import grp

        try:
            number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
            # Where systemd holds it, its socket unit may have done it.
            if path.stat().st_gid != number:
                os.chown(path, -1, number)
        except (KeyError, OverflowError):
            return f"there is no group {group}"
        except OSError:
            if not users.are_visible():
                return f"the unit's PrivateUsers=yes hides the group {group}"
            return (
                f"the agent is not a member of the group {group}, so it cannot give it the socket; "
                "fleet-agent.socket can, by SocketGroup= in a drop-in"
            )
        return None

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NOT_NOW:
                return
            # Who connects meanwhile waits, where it is only that no descriptor is left: it would come again at once.
            self._stop()
            self.due = self._clock.monotonic() + RETRY
            if starved.lack(error) is None:
                self._listeners.drop(self.path)
            self._failed(f"cannot accept connections on {self.path}: {error.strerror}")
            return
        client.setblocking(False)
        self._admit(client, users.peer(client))
