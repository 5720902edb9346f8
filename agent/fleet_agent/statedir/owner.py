"""The state directory is written as its owner: who starts as root goes on as that user, without root's terminal."""

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from fleet_agent import files
from fleet_agent.errors import STATE_DAMAGED, DeviceError, StateDamagedError, StateDirectoryError
from fleet_agent.files.pinned import pinned
from fleet_agent.pasted import word
from fleet_agent.process import relay

USER = GROUP = "_fleet-agent"  # whom package and unit give everything to


def become_owner(state_dir: Path, *, any_owner: bool = False, stdin: bool = False) -> None:
    """Started as root: go on as the owner of the state directory, so that no file of it ever belongs to root.

    The terminal stays behind: with it, whatever runs as that user could type to root's shell. To be called before any
    thread is started.

    Args:
        state_dir: Need not exist yet.
        any_owner: Go on as whoever it belongs to, not only as the package's user.
        stdin: What is typed at the terminal is still wanted.

    Raises:
        DeviceError: The owner is not in the user database, may not read this program, or is no user to become.
        StateDirectoryError: The disk does not say who the owner is, or another user's link leads there.
    """
    if os.geteuid() != 0:
        return
    refuse_foreign_link(state_dir)
    with as_place():
        owner = files.owner(state_dir)
    if owner in (None, 0):
        return
    try:
        user = pwd.getpwuid(owner)
    except KeyError as error:
        raise DeviceError(
            f"{state_dir} belongs to user id {owner}, which does not exist here.",
            remedy=f"Give it to the agent's user: chown -R {USER}: {word(state_dir)}. In a container with a "
            f"folder of the host, start as that user instead: --user {owner}",
            code="state-owner-unknown",
        ) from error
    relay.give_up_terminal(stdin=stdin)
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(owner)
    relay.end_with_parent()
    # What is imported later is read as the owner: say now what would be a traceback then.
    for program in (__file__, os.__file__):
        if not os.access(program, os.R_OK):
            raise DeviceError(
                f"{user.pw_name}, who owns {state_dir}, may not read the agent's own program: {program}.",
                remedy="Install it where that user can read it (the Debian package does), or chown the state "
                "directory.",
                code="program-unreadable",
            )
    if user.pw_name != USER and not any_owner:
        raise DeviceError(
            f"{state_dir} belongs to {user.pw_name}, which is neither root nor {USER}, the agent's user.",
            remedy=f"If the agent should run as {user.pw_name} there, add --as-owner; otherwise chown it: "
            f"chown -R {USER}: {word(state_dir)}",
            code="state-owner-other",
        )


def ensure_place(state_dir: Path) -> None:
    """Is sure that a state directory is there, or could be.

    Raises:
        StateDirectoryError: Something else is in its place, or on the way to it.
    """
    found = next(filter(os.path.lexists, (state_dir, *state_dir.absolute().parents)))
    if not found.is_dir():
        raise StateDirectoryError(
            f"{state_dir} cannot be a state directory: {found} is not a folder.",
            remedy=files.out_of_the_way(found),
            code=STATE_DAMAGED,
        )


@contextlib.contextmanager
def as_place() -> Iterator[None]:
    """Reports damage as a directory that cannot be used: something else is in the state directory's place."""
    try:
        yield
    except StateDamagedError as error:
        raise StateDirectoryError(error.title, remedy=error.remedy, code=error.code) from error


def refuse_foreign_link(state_dir: Path) -> None:
    """Refuses, as root, a state directory that another user's link leads to.

    Raises:
        StateDirectoryError: It is one.
    """
    try:
        with pinned(state_dir / "lock"):
            pass
    except NotADirectoryError:  # reported where the folder is made
        pass
    except OSError as error:
        raise StateDirectoryError(
            f"Cannot use the state directory {state_dir} as root: {error.strerror}.",
            remedy="Name the folder itself with --state-dir or state_dir, one that only root or the agent's user can "
            "replace.",
            code="state-link",
        ) from error
