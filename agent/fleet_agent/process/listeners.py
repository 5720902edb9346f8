"""Listening sockets of the agent, which outlive a new image of the process: who connects meanwhile waits.

A path is bound once; a new image finds its socket by the path and goes on accepting. The kernel keeps what connected
and was not accepted yet. A TCP port is kept in the same way, so that no other program takes it meanwhile. Where
systemd holds a socket (``fleet-agent.socket``) it outlives the process, too: it is taken as it is given
(sd_listen_fds(3)), and neither closed nor removed here.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from fleet_agent.record import record

_INHERITED = "FLEET_AGENT_LISTENERS"

HOST = "127.0.0.1"
BACKLOG = 64
MOST_PATH = 107  # bytes of a socket's path, as the system has it
# No longer than the names of sockets: what their paths may have, its path may.
_UNREADY = ".new"
# Descriptors that systemd passes begin here; more than these are none of ours.
_FIRST, _MOST = 3, 8


@record
class _Listener:
    """A socket, and what its path led to when it was bound: a socket itself does not know; ``is_given``: by systemd."""

    socket: socket.socket
    device: int = 0
    inode: int = 0
    is_given: bool = False

    def is_at(self, path: Path) -> bool:
        try:
            found = path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)


class Listeners:
    """All listening sockets, by path or port, including those of the previous image."""

    def __init__(self) -> None:
        self._open = _inherited()

    def listen(
        self, path: Path, prepare: Callable[[Path], object] = lambda _: None
    ) -> socket.socket:
        """The listening socket of a path (SOCK_SEQPACKET, not blocking, 0660): the one that is there, or a new one.

        Args:
            path: Where.
            prepare: Gets a new one's path before it is there, under which its owner and mode can be changed.

        Raises:
            OSError: It cannot be made.
        """
        found = self._open.get(path)
        if found is None or not found.is_at(path):
            self._close(path)
            found = self._open[path] = _bound(path, prepare)
        return found.socket

    def listen_on(self, port: int) -> socket.socket:
        """The listening socket of a port of 127.0.0.1 (TCP, not blocking): the one that is there, or a new one.

        Raises:
            OSError: It cannot be made.
        """
        if port not in self._open:
            self._open[port] = _Listener(socket=_bound_to(port))
        return self._open[port].socket

    def given(self) -> Sequence[Path]:
        """The paths of those that systemd holds."""
        return [
            path for path, item in self._open.items() if item.is_given and isinstance(path, Path)
        ]

    def is_there(self, path: Path) -> bool:
        """Whether the path leads to the socket; somebody may have removed it."""
        found = self._open.get(path)
        return found is not None and found.is_at(path)

    def drop(self, place: Path | int) -> None:
        """Closes one, and removes its path; what systemd holds stays as it is."""
        found = self._open.get(place)
        if found is not None and not found.is_given:
            self._close(place)

    def _close(self, place: Path | int) -> None:
        found = self._open.pop(place, None)
        if found is None:
            return
        if isinstance(place, Path) and found.is_at(place) and not found.is_given:
            with contextlib.suppress(OSError):
                place.unlink()
        found.socket.close()

    def keep_only(self, *places: Path | int | None) -> None:
        """Closes what the image before listened on and this one does not."""
        for place in self._open.keys() - set(places):
            self.drop(place)

    def hand_over(self, environment: dict[str, str]) -> None:
        """Lets the image that replaces this one keep them."""
        found = {}
        for place, item in self._open.items():
            item.socket.set_inheritable(True)
            found[str(place)] = (item.socket.fileno(), item.device, item.inode, item.is_given)
        environment[_INHERITED] = json.dumps(found)

    def close(self) -> None:
        """Closes all, and removes their paths."""
        self.keep_only()


def _inherited() -> dict[Path | int, _Listener]:
    found: dict[Path | int, _Listener] = {}
    given = json.loads(os.environ.pop(_INHERITED, "{}"))
    for name, (descriptor, device, inode, is_given) in given.items():
        with contextlib.suppress(OSError):
            listener = socket.socket(fileno=descriptor)
            listener.set_inheritable(False)
            found[int(name) if name.isdecimal() else Path(name)] = _Listener(
                socket=listener, device=device, inode=inode, is_given=is_given
            )
    return found | _of_systemd()


def _of_systemd() -> dict[Path, _Listener]:
    """The sockets that systemd passes to this process; what it passes to others is not ours."""
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    process, count, _ = (os.environ.pop(name, "") for name in names)
    found: dict[Path, _Listener] = {}
    if process != str(os.getpid()) or not count.isdecimal():
        return found
    for descriptor in range(_FIRST, _FIRST + min(int(count), _MOST)):
        with contextlib.suppress(OSError):
            os.set_inheritable(descriptor, False)
            listener = socket.socket(fileno=descriptor)
            path = listener.getsockname()
            if listener.family != socket.AF_UNIX or not isinstance(path, str) or not path:
                continue
            listener.setblocking(False)
            at = os.lstat(path)
            found[Path(path)] = _Listener(
                socket=listener, device=at.st_dev, inode=at.st_ino, is_given=True
            )
    return found


def too_long(path: str | Path) -> str | None:
    """Why no socket can have this path; None: it can."""
    length = len(os.fsencode(path))
    if length <= MOST_PATH:
        return None
    return f"its path has {length} bytes, and a socket's has {MOST_PATH} at most"


def _bound(path: Path, prepare: Callable[[Path], object]) -> _Listener:
    # Left by an agent that was killed: the state directory's lock proves that there is no other.
    if path.is_socket():
        path.unlink()
    # Under another name until it listens: who waits for the path to appear would be refused in between.
    unready = path.with_name(_UNREADY)
    unready.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        mask = os.umask(0o177)
        try:
            listener.bind(str(unready))
        finally:
            os.umask(mask)
        unready.chmod(0o660)
        prepare(unready)
        listener.listen(BACKLOG)
        # What somebody else put there stays: this fails then.
        path.hardlink_to(unready)
        found = path.lstat()
    except OSError:
        listener.close()
        raise
    finally:
        unready.unlink(missing_ok=True)
    return _Listener(socket=listener, device=found.st_dev, inode=found.st_ino)


def _bound_to(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
