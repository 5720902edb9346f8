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

_DESCRIPTORS = "/proc/self/fd"


def descriptors() -> frozenset[int]:
    """The descriptors of this process that are open."""
    return frozenset(number for number in _listed() if _leads_to(number))


def on_new_connection(before: frozenset[int], pause: Callable[[float], object]) -> bool:
    """Set TCP_NODELAY on the connection that appears beside the descriptors ``before``; False when none does in time.

    What was there is not looked at again: with a thousand sessions in a process that took longer than it saves.
    """
    for _ in range(TRIES):
        new = (number for number in _listed() if number not in before)
        if any(_leads_to(number).startswith("socket:") and _set(number) for number in new):
            return True
        pause(PAUSE)
    return False


def _listed() -> list[int]:
    """The numbers that /proc lists: that of the listing itself, which is closed by then, among them."""
    try:
        return [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208 - names, not paths: this runs in a loop
    except OSError:
        return []


def _leads_to(number: int) -> str:
    try:
        return os.readlink(f"{_DESCRIPTORS}/{number}")  # noqa: PTH115
    except OSError:  # closed meanwhile
        return ""


def _set(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as ours:
            if ours.family not in (socket.AF_INET, socket.AF_INET6):
                return False
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        return False
    return True
