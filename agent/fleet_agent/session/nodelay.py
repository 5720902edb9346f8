"""Switches Nagle's algorithm off for a connection that awscrt is opening.

A TLS handshake ends in several small writes, and the CONNECT is one more: with Nagle they wait for the server's delayed
acknowledgement, 40 ms a session. awscrt has no option for it, so the socket is looked up among the process's own
descriptors while it connects. Where that does not work (no /proc, a slow name server) nothing is lost but those
milliseconds. docs/decisions/0005 has the figures.
"""

import os
import socket
from collections.abc import Callable

TRIES = 40
PAUSE = 0.0005  # seconds: 20 ms in all; where the name takes longer, 40 ms matter less
MOST = 200  # descriptors of a process: to look through more takes longer than it saves

_DESCRIPTORS = "/proc/self/fd"


def sockets() -> frozenset[int] | None:
    """The descriptors of this process that are sockets; None where there are too many to look at."""
    try:
        names = os.listdir(_DESCRIPTORS)  # noqa: PTH208 - names, not paths: this runs in a loop
    except OSError:
        return frozenset()
    if len(names) > MOST:
        return None
    return frozenset(int(name) for name in names if _is_socket(name))


def _is_socket(name: str) -> bool:
    try:
        return os.readlink(f"{_DESCRIPTORS}/{name}").startswith("socket:")  # noqa: PTH115
    except OSError:  # closed meanwhile
        return False


def on_new_connection(before: frozenset[int] | None, pause: Callable[[float], object]) -> bool:
    """Sets TCP_NODELAY on the connection that appears beside the sockets ``before``; False when none does in time."""
    if before is None:
        return False
    for _ in range(TRIES):
        if look(before):
            return True
        pause(PAUSE)
    return False


def look(before: frozenset[int] | None) -> bool:
    """Sets it where there is such a connection now: what waits already is sent at once."""
    if before is None:
        return False
    return any(_set(descriptor) for descriptor in (sockets() or before) - before)


def _set(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as ours:
            if ours.family not in (socket.AF_INET, socket.AF_INET6):
                return False
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        return False
    return True
