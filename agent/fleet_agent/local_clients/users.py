"""User ids on this device, from the configuration and from the kernel."""

import socket
import struct
from pathlib import Path

EVERYBODY = "*"

USER_MAP = Path("/proc/self/uid_map")
_HIDDEN = 65534  # the kernel's id for users outside our user namespace


def number(user: str) -> int | None:
    """Returns a user's id, by name or number; None for ``*``, everybody.

    Raises:
        KeyError: There is no such user.
    """
    if user == EVERYBODY:
        return None
    if user.isdecimal():
        return int(user)
    import pwd

    return pwd.getpwnam(user).pw_uid


def peer(client: socket.socket) -> int:
    """Returns the user id of the connected program, which the kernel vouches for."""
    found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[1])


def are_visible(map_file: Path = USER_MAP) -> bool:
    """Whether other users' ids are visible: not within a user namespace that maps only a few of them."""
    try:
        ranges = [line.split() for line in map_file.read_text().splitlines()]
    except OSError:
        return True
    return sum(int(words[2]) for words in ranges) > _HIDDEN
