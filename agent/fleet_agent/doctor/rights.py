"""Owners and modes of the state directory, and of what the agent's user reads. Findings come with their fix."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fleet_agent.config.paths import configuration_files
from fleet_agent.credentials import folders
from fleet_agent.doctor.device import Device, SecretFile, agent_user, secrets
from fleet_agent.doctor.finding import Finding, Findings, Fix, Subject, guarded
from fleet_agent.pasted import word
from fleet_agent.statedir import contents
from fleet_agent.statedir.owner import refuse_foreign_link
from fleet_agent.vending import authorization_tokens

_ABOUT = Subject("owners and modes")
_FIX = "fleet-agent doctor --fix"

# The ownership token of an attempt under way is in issued.json.
_SECRET = frozenset({folders.KEY, folders.ISSUED, authorization_tokens.NAME})
_OTHERS, _WRITE = 0o077, 0o022
_READERS = 0o066  # of a folder; 0711 lets others pass to what they may read
_SHOWN = frozenset({"run"})  # for others to read; the agent makes it again
_MANY = 3  # names of a list


def check(device: Device) -> Findings:
    """Checks owners and modes, as the user who runs the doctor."""
    if device.is_anothers:
        yield _ABOUT.failed(
            "state-owner",
            f"{device.state_dir} belongs to another user; as user {os.geteuid()} you cannot check what is in it.",
            device.state_dir,
            "Run the doctor as root or as that user: sudo fleet-agent doctor",
        )
        return
    yield from guarded(_ABOUT, device.state_dir, lambda: _summed_up(device))


def _summed_up(device: Device) -> Findings:
    refuse_foreign_link(device.state_dir)
    found = [*_state(device.state_dir), *_read_by_agent(device), *_secrets(device)]
    yield from found or [
        _ABOUT.ok("Everything belongs to the right user, and nobody else has access.")
    ]


# The state directory -------------------------------------------------------------------------------------------------


def _state(folder: Path) -> Findings:
    if not folder.is_dir():
        return
    top = folder.stat()
    user = agent_user(folder)
    if os.geteuid() == 0 and top.st_uid == 0 and user is not None:
        yield _owned(folder, ".", top, user)
    owner = user if os.geteuid() == 0 and user else (top.st_uid, top.st_gid)
    yield from _top(folder, top)
    for name in _below(folder):
        try:
            found = (folder / name).lstat()
        except FileNotFoundError:  # a running agent replaced or removed it meanwhile
            continue
        if stat.S_ISLNK(found.st_mode):
            continue
        if found.st_uid != owner[0]:
            yield _owned(folder, name, found, owner)
        yield from _moded(folder, name, found, wanted=_wanted(name, found))


def _top(folder: Path, found: os.stat_result) -> Findings:
    wanted, mode = _folder_mode(found), stat.S_IMODE(found.st_mode)
    others = sorted(set(os.listdir(folder)) - set(contents.ours(folder)))  # noqa: PTH208 - names
    if not others or wanted == mode:
        yield from _moded(folder, ".", found, wanted=wanted)
        return
    # Others use it, too, perhaps by mistake: with `state_dir: /`, --fix must not close /.
    names = ", ".join(others[:_MANY]) + (", …" if len(others) > _MANY else "")
    yield _ABOUT.failed(
        "state-shared",
        f"{folder} has mode {mode:04o} and contains files that are not the agent's ({names}).",
        folder,
        f"Give the agent its own folder, and move its files there: state_dir: {folder / 'fleet-agent'}",
    )


def _below(folder: Path) -> Iterator[str]:
    """Yields the agent's files; other files in the folder are not judged, and never changed."""
    for path in contents.tree(folder):
        name = path.relative_to(folder)
        if name.parts[0] not in _SHOWN:
            yield str(name)


def _folder_mode(found: os.stat_result) -> int:
    mode = stat.S_IMODE(found.st_mode)
    return 0o700 if mode & _READERS or mode & 0o700 != 0o700 else mode  # noqa: PLR2004 - rwx


def _wanted(name: str, found: os.stat_result) -> int:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return mode & ~_WRITE | 0o700
    if Path(name).name in _SECRET:
        return 0o600
    return mode & ~_WRITE | 0o600


def _owned(base: Path, name: str, found: os.stat_result, owner: tuple[int, int]) -> Finding:
    path = _path(base, name)
    return _ABOUT.failed(
        "state-owner",
        f"{path} belongs to user {found.st_uid}; the agent runs as user {owner[0]}.",
        path,
        f"chown {owner[0]}:{owner[1]} {word(path)}   ({_FIX})",
        Fix(base=base, name=name, owner=owner),
    )


def _moded(base: Path, name: str, found: os.stat_result, *, wanted: int) -> Findings:
    mode, path = stat.S_IMODE(found.st_mode), _path(base, name)
    if mode == wanted:
        return
    is_secret = Path(name).name in _SECRET and mode & _OTHERS
    if too_much := mode & ~wanted & _OTHERS:
        fault = f"users other than the agent can {'read' if too_much & _READERS & ~_WRITE else 'change'} it"
    else:
        fault = "the agent cannot read and write it"
    code = "key-readable" if is_secret else "state-mode"
    yield _ABOUT.failed(
        code,
        f"{path} has mode {mode:04o}: {fault}; it should be {wanted:04o}.",
        path,
        f"chmod {wanted:o} {word(path)}   ({_FIX})",
        Fix(base=base, name=name, mode=wanted),
    )


def _path(base: Path, name: str) -> Path:
    return base if name == "." else base / name


# What the agent's user reads -----------------------------------------------------------------------------------------


def _read_by_agent(device: Device) -> Findings:
    """Checks what the agent's user can read; only root can judge that."""
    user = agent_user(device.state_dir)
    if os.geteuid() != 0 or user is None:
        return
    for path in _files_read(device):
        for part in (*reversed(path.parents), path):
            found = part.stat() if part.exists() else None
            if found is None or _may(found, user, is_folder=part.is_dir()):
                continue
            unreadable = _unreadable(device, part, found, user)
            yield unreadable
            if unreadable.fix is None:  # the files below are to be moved
                break


def _unreadable(
    device: Device, part: Path, found: os.stat_result, user: tuple[int, int]
) -> Finding:
    """Returns the finding for a file, or a folder on the path to it; --fix opens only the agent's own."""
    mode = stat.S_IMODE(found.st_mode) | (0o050 if part.is_dir() else 0o040)
    title = (
        f"{part} cannot be read by the agent's user {user[0]} "
        f"(owner {found.st_uid}:{found.st_gid}, mode {stat.S_IMODE(found.st_mode):04o})."
    )
    if stat.S_ISDIR(found.st_mode) and not part.is_relative_to(device.config.parent):
        remedy = f"Move the file into {device.config.parent} and name it there; or let that user enter the folder."
        return _ABOUT.failed("not-readable-by-agent", title, part, remedy)
    return _ABOUT.failed(
        "not-readable-by-agent",
        title,
        part,
        f"chgrp {user[1]} {word(part)}; chmod {mode:o} {word(part)}   ({_FIX})",
        Fix(base=part.parent, name=part.name, mode=mode, owner=(-1, user[1])),
    )


def _files_read(device: Device) -> Iterator[Path]:
    if device.config.exists():
        yield from configuration_files(device.config)
    found = [*claim_files(device), *secret_files(device)]
    if device.settings is not None:
        own = device.settings.identity.pair or ()
        found += [
            Path(name) for name in (*own, device.settings.ca_file or "") if name.startswith("/")
        ]
    yield from dict.fromkeys(found)


def claim_files(device: Device) -> Iterator[Path]:
    """Yields the claim's files, where they are files."""
    claim = device.settings.claim if device.settings else None
    for reference in (claim.certificate, claim.private_key) if claim else ():
        if reference.startswith("/"):
            yield Path(reference)


def secret_files(device: Device) -> Iterator[Path]:
    """Yields the files with secrets that the configuration names."""
    for secret in secrets(device.settings) if device.settings else ():
        if secret.reference.startswith("/"):
            yield Path(secret.reference)


def _may(found: os.stat_result, user: tuple[int, int], *, is_folder: bool) -> bool:
    """Whether a user may read a file, or pass through a folder, by its mode."""
    bit = 0o1 if is_folder else 0o4
    if found.st_uid == user[0]:
        return bool(found.st_mode & (bit << 6))
    if found.st_gid == user[1]:
        return bool(found.st_mode & (bit << 3))
    return bool(found.st_mode & bit)


def _secrets(device: Device) -> Findings:
    for secret in secrets(device.settings) if device.settings else ():
        path = Path(secret.reference)
        if secret.reference.startswith("/") and path.exists():
            yield from secret_mode(path, secret, agent_user(device.state_dir))


def secret_mode(path: Path, secret: SecretFile, user: tuple[int, int] | None) -> Findings:
    """Checks that not everybody on the device can read a secret, which is at ``path`` here.

    Args:
        path: Where it is.
        secret: What it is.
        user: The agent's, who must be able to read it; None: the file's owner reads it.
    """
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not mode & 0o007 or not stat.S_ISREG(found.st_mode):
        return
    wanted, owner = mode & 0o770, None
    group = ""
    if user is not None and os.geteuid() == 0 and found.st_uid != user[0]:
        wanted, owner, group = wanted | 0o040, (-1, user[1]), f"chgrp {user[1]} {word(path)}; "
    yield _ABOUT.failed(
        secret.code,
        f"All users can read {path} (mode {mode:04o}): whoever is on the device can take {secret.words}.",
        path,
        f"{group}chmod {wanted:o} {word(path)}   ({_FIX})",
        Fix(base=path.parent, name=path.name, mode=wanted, owner=owner),
    )
