"""Notifies systemd: READY, STATUS and the watchdog. Outside a notify unit every call does nothing."""

import contextlib
import os
import socket
from collections.abc import Iterator

from fleet_agent.printable import line as printable


def send(message: str) -> None:
    """Sends one sd_notify message, for example ``READY=1`` or ``STATUS=connected``."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(message.encode(errors="replace"), address)
    except OSError:
        return  # systemd is busy or gone


def ready() -> None:
    """Configuration and state are sound: dependants may start."""
    send("READY=1")


def status(words: str) -> None:
    """Shows a line in ``systemctl status``."""
    send(f"STATUS={printable(' '.join(words.split()))}")


def stopping() -> None:
    """Notifies systemd that a clean end has begun."""
    send("STOPPING=1")


def alive() -> None:
    """Feeds the watchdog."""
    send("WATCHDOG=1")


@contextlib.contextmanager
def long_work(seconds: float) -> Iterator[None]:
    """Allows what is done in the block so many seconds more than the watchdog gives; none: no change."""
    half = watchdog_interval() if seconds else None
    if half is None:
        yield
        return
    allowed = round(2 * half * 1e6)
    send(f"WATCHDOG_USEC={allowed + round(seconds * 1e6)}\nWATCHDOG=1")
    try:
        yield
    finally:
        send(f"WATCHDOG_USEC={allowed}\nWATCHDOG=1")


def watchdog_interval() -> float | None:
    """Seconds between proofs of life (half of what the unit allows), or None without a watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        allowed = int(os.environ["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    return allowed / 2_000_000 if allowed > 0 else None
