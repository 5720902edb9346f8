"""Users of this device, as the configuration and the kernel name them."""

import socket
import struct
from pathlib import Path

EVERYBODY = "*"

USER_MAP = Path("/proc/self/uid_map")
_HIDDEN = 65534  # whom the kernel calls so is from outside our user namespace


def number(user: str) -> int | None:
    """The number of a user, by name or number; None for ``*``, everybody.

    Raises:
        KeyError: There is no such user.
    """
    if user == EVERYBODY:
        return None
    if user.isdecimal():
        return int(user)
    import pwd

    return pwd.getpwnam(user).pw_uid


def of_peer(client: socket.socket) -> int:
    """Whose program connected, by the kernel's word."""
    found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[1])


def are_seen(map_file: Path = USER_MAP) -> bool:
    """Whether other users' numbers can be seen from here: not from within a user namespace that maps few of them."""
    try:
        ranges = [line.split() for line in map_file.read_text().splitlines()]
    except OSError:
        return True
    return sum(int(words[2]) for words in ranges) > _HIDDEN
