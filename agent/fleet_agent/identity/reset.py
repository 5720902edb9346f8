"""What ``reset`` does: leaves a device, or the disk that an image is taken of, without an identity of its own."""

import contextlib
import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fleet_agent import files, pasted
from fleet_agent.clock import SystemClock
from fleet_agent.credentials.model import Credential, Event, HardwareToken
from fleet_agent.credentials.store import Store
from fleet_agent.device import fingerprint
from fleet_agent.errors import STATE_DAMAGED, AgentError, StateDamagedError, StateDirectoryError
from fleet_agent.record import record
from fleet_agent.statedir.contents import CONTENTS, Kind, patterns
from fleet_agent.statedir.lock import take_lock
from fleet_agent.statedir.owner import become_owner

_SHOWN = tuple(
    entry.pattern.removeprefix("run/")
    for entry in CONTENTS
    if entry.kind is Kind.SHOWN and "/" in entry.pattern
)
_SYSTEM = Path("/")

# The last events in the ledger of certificates that may be ACTIVE.
_MAY_LIVE = frozenset(
    event.value
    for event in (
        Event.CURRENT,
        Event.ISSUED,  # the answer to its registration may be lost
        Event.REGISTERED,
        Event.UNRESOLVED,
        Event.RETIRED,
        Event.DROPPED,
    )
)


@record
class Leftover:
    """An entry of a state directory, and what ``reset`` does with it.

    ``retire``: certificates that may be ACTIVE and that this device will not use again, the one in use first.
    ``original``: the hardware is not the one that the identity was proven on, so it may be another device's still.
    """

    credential: Credential | None
    retire: Sequence[str]
    original: str | None
    remove: Sequence[Path]
    has_identity: bool


def look(state_dir: Path, runtime_dir: Path, *, keep_queue: bool, for_image: bool) -> Leftover:
    """Says what is there and what would go.

    Raises:
        StateDirectoryError: It cannot be read, or is not the agent's.
    """
    store = Store(state_dir, SystemClock())
    credential = None
    with contextlib.suppress(AgentError):  # damaged: that is what some reset it for
        credential = store.current()
    original = None
    if credential is not None:
        original = fingerprint.difference(state_dir, credential.certificate_id, _SYSTEM)
    names = patterns(Kind.LIFE)
    if not keep_queue:
        names += patterns(Kind.QUEUE)
    if for_image:
        names += patterns(Kind.TOKEN)
    # A copied ledger names another device's certificates.
    if for_image or original:
        names += patterns(Kind.LEDGER)
    for name in files.names(state_dir / "credentials"):
        # Generations, what is half written, and which one is in use.
        if not fnmatch.fnmatch(name, "[.0-9]*") and name != "current":
            raise StateDamagedError(
                f"{state_dir}/credentials contains {name}, which is not the agent's.",
                remedy="Name the agent's state directory: --state-dir, or state_dir.",
                code=STATE_DAMAGED,
            )
    there = files.names(state_dir)
    paths = [state_dir / each for name in names for each in fnmatch.filter(sorted(there), name)]
    paths += [path for name in _SHOWN if os.path.lexists(path := runtime_dir / name)]
    return Leftover(
        credential=credential,
        retire=_to_retire(store.ledger.latest(), credential),
        original=original,
        remove=paths,
        has_identity=(state_dir / "credentials").exists(),
    )


def reset(
    state_dir: Path,
    runtime_dir: Path,
    *,
    keep_queue: bool,
    for_image: bool,
    tokens: Iterable[HardwareToken] = (),
) -> Leftover:
    """Removes identity, attempts, readings and orders that wait, fingerprint, what was shown; of an image the ledger.

    Args:
        state_dir: The state directory.
        runtime_dir: Where a running agent shows its status.
        keep_queue: Leave the readings.
        for_image: The disk becomes an image.
        tokens: The hardware tokens that the configuration names: the agent's keys in them go, too.

    Raises:
        TemporaryError: An agent is running.
        StateDirectoryError: Something cannot be removed; asked again, it goes on.
    """
    if not state_dir.exists():
        return look(state_dir, runtime_dir, keep_queue=keep_queue, for_image=for_image)
    become_owner(state_dir)
    found = look(state_dir, runtime_dir, keep_queue=keep_queue, for_image=for_image)
    is_used = found.has_identity or files.is_there(state_dir / "lock")
    # A folder of somebody else's stays as it is.
    if not (is_used or found.remove or tokens):
        return found
    take_lock(state_dir)
    store = Store(state_dir, SystemClock(), *tokens)
    store.disown()
    store.destroy_hardware_keys()
    _remove_identity(state_dir)
    for path in found.remove:
        if path.is_dir():
            files.remove_folder(path)
        elif path.parent == state_dir:
            files.remove(path)
        else:  # systemd's own folder, gone with the unit anyway
            with contextlib.suppress(StateDirectoryError):
                files.remove(path, sync=False)
    return found


def _remove_identity(state_dir: Path) -> None:
    """By one rename, so that no power cut leaves half of it; what an earlier one left behind goes first."""
    aside = state_dir / "credentials.cleared"
    files.remove_folder(aside)
    if (credentials := state_dir / "credentials").is_dir():
        files.move(credentials, aside)
        files.remove_folder(aside)


def _to_retire(ledger: Mapping[str, str], credential: Credential | None) -> list[str]:
    in_use = [credential.certificate_id] if credential else []
    others = [name for name, event in ledger.items() if event in _MAY_LIVE and name not in in_use]
    return in_use + others[::-1]


def image_hints(root: Path = _SYSTEM) -> list[str]:
    """Commands that take from an image what must not be the same on two devices, where that is still there."""
    hints = []
    machine_id = root / "etc/machine-id"
    with contextlib.suppress(OSError):
        if machine_id.read_text().strip() not in ("", "uninitialized"):
            hints.append(f": > {machine_id}")
    others = (root / "var/lib/dbus/machine-id", root / "var/lib/systemd/random-seed")
    return hints + [
        pasted.command("rm", path) for path in others if path.is_file() and not path.is_symlink()
    ]
