"""The unit and its drop-ins, by the files that systemd reads: do they fit this configuration and this device?"""

import os
from collections.abc import Iterator
from pathlib import Path

from fleet_agent import files, pasted, unit_file
from fleet_agent.config.paths import CREDENTIAL
from fleet_agent.config.settings import STATE_DIR, Settings
from fleet_agent.doctor.device import Device, agent_user, secrets
from fleet_agent.doctor.finding import Finding, Findings, Subject, guarded
from fleet_agent.statedir.filesystem import BOOTED
from fleet_agent.statedir.owner import USER

_ABOUT = Subject("unit")
NAME = "fleet-agent.service"

# systemd.unit(5): the first of these that has it counts; drop-ins of all count, later ones in the order of their names.
_FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system",
            "lib/systemd/system")  # fmt: skip
_LOADING = ("LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted")
_RELOAD = "then systemctl daemon-reload; systemctl restart fleet-agent"

Lines = list[tuple[Path, str, str]]  # file, key, value


def files_of(root: Path, name: str = NAME) -> list[Path]:
    """A unit's file and its drop-ins, in the order they are read; empty when it is not installed."""
    places = [root / folder / name for folder in _FOLDERS]
    unit = next((path for path in places if os.path.lexists(path)), None)
    if unit is None:
        return []
    drop_ins: dict[str, Path] = {}
    for place in places:
        for path in place.with_name(f"{name}.d").glob("*.conf"):
            drop_ins.setdefault(path.name, path)
    return [unit, *(drop_ins[key] for key in sorted(drop_ins))]


def check(device: Device) -> Findings:
    """Looks at the unit."""
    found = files_of(device.root)
    if not found:
        yield _ABOUT.note(
            "unit-none",
            f"{NAME} is not installed.",
            remedy="To install it: docs/how-to/run-as-a-service.md",
        )
        return
    if device.root == Path("/") and not BOOTED.is_dir():
        # A container: whoever starts the agent there decides what it may do, and as whom.
        yield _ABOUT.note(
            "unit-unused", f"systemd is not running here, so {NAME} is not checked.", found[0]
        )
        return
    yield from guarded(_ABOUT, found[0], lambda: _check(device, found))


def _check(device: Device, found: list[Path]) -> Findings:
    if found[0].is_symlink() and str(found[0].readlink()) == "/dev/null":
        yield _ABOUT.failed(
            "unit-masked",
            f"{NAME} is masked, so it never starts.",
            found[0],
            f"systemctl unmask {NAME}",
        )
        return
    lines: Lines = []
    findings: list[Finding] = []
    for path in found:
        more, strays = _read(path)
        lines += more
        findings += strays
    findings += [*_misnamed(device.root), *_user(device, lines)]
    if device.settings is not None:
        findings += [*_credentials(device.settings, lines), *_state_dir(device.settings, lines)]
    yield from findings
    if not findings:
        drop_ins = ", ".join(path.name for path in found[1:]) or "no drop-ins"
        yield _ABOUT.ok(f"{found[0]} is right ({drop_ins}).", found[0])


def _read(path: Path) -> tuple[Lines, list[Finding]]:
    lines: Lines = []
    strays: list[Finding] = []
    for line in unit_file.lines(files.read_given(path).decode(errors="replace")):
        if not line.section or not line.is_assignment:
            fault = "is above the first section" if line.is_assignment else "is not an assignment"
            shown = f"the line {line.key!r}" if line.key.isidentifier() else "a line"
            strays.append(
                _ABOUT.failed(
                    "drop-in-line",
                    f"{path}: {shown} {fault}, so systemd ignores it.",
                    path,
                    f"Put [Service] above it, {_RELOAD}",
                )
            )
        elif line.section == "Service":
            lines.append((path, line.key, line.value))
    return lines, strays


def _misnamed(root: Path) -> Findings:
    for folder in _FOLDERS:
        for path in sorted((root / folder / f"{NAME}.d").glob("*")):
            if path.suffix != ".conf":
                yield _ABOUT.warning(
                    "drop-in-name",
                    f"systemd ignores {path}: a drop-in's name must end in .conf.",
                    path,
                    f"{pasted.command('mv', path, path.with_suffix('.conf'))}, {_RELOAD}",
                )


def _values(lines: Lines, *keys: str) -> Iterator[tuple[Path, str]]:
    """Returns the assigned values; an empty assignment clears a list."""
    kept: list[tuple[Path, str]] = []
    for path, key, value in lines:
        if key in keys:
            kept = [*kept, (path, value)] if value else []
    yield from kept


def _user(device: Device, lines: Lines) -> Findings:
    found = list(_values(lines, "User"))
    if not found or found[-1][1] in ("root", "0"):
        path = found[-1][0] if found else device.root / _FOLDERS[0] / NAME
        yield _ABOUT.failed(
            "unit-user-root",
            "The service runs as root.",
            path,
            f"Remove `User=` from the drop-in (the unit has User={USER}), {_RELOAD}",
        )
        return
    owner = agent_user(device.state_dir)
    path, name = found[-1]
    if owner is not None and device.state_dir.exists() and _number(name) not in (None, owner[0]):
        yield _ABOUT.failed(
            "unit-user",
            f"The service runs as {name}, but {device.state_dir} belongs to user {owner[0]}.",
            path,
            f"{pasted.command('chown', '-R', f'{name}:', device.state_dir)}, or change User=, {_RELOAD}",
        )


def _number(user: str) -> int | None:
    import pwd

    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def loads(root: Path, name: str) -> bool:
    """Whether the unit, by its files, passes this credential.

    Raises:
        OSError: One of its files cannot be read.
    """
    lines = [line for path in files_of(root) if path.is_file() for line in _read(path)[0]]
    return name in _loaded(lines)


def _loaded(lines: Lines) -> set[str]:
    return {value.partition(":")[0] for _, value in _values(lines, *_LOADING)}


def _credentials(settings: Settings, lines: Lines) -> Findings:
    claim = settings.claim
    references = [claim.certificate] if claim else []
    references += [secret.reference for secret in secrets(settings)]
    loaded = _loaded(lines)
    imported = any(True for _ in _values(lines, "ImportCredential"))
    for reference in references:
        name = reference.removeprefix(CREDENTIAL)
        if reference.startswith(CREDENTIAL) and name not in loaded and not imported:
            yield _ABOUT.failed(
                "credential-not-loaded",
                f"The configuration names {reference}, but no LoadCredential= of the unit passes it.",
                f"/etc/systemd/system/{NAME}.d",
                f"In a drop-in, under [Service]: LoadCredential={name}:/etc/credstore/{name}, {_RELOAD}",
            )


def _state_dir(settings: Settings, lines: Lines) -> Findings:
    state_dir = Path(settings.state_dir)
    given = [value for _, value in _values(lines, "StateDirectory")]
    open_to_it = [
        Path("/var/lib", name.partition(":")[0]) for value in given for name in value.split()
    ]
    for _, value in _values(lines, "ReadWritePaths", "BindPaths"):
        # SOURCE[:DESTINATION[:OPTIONS]], and a sign that marks what may be missing
        parts = [word.lstrip("-+").split(":") for word in value.split()]
        open_to_it += [Path(part[min(1, len(part) - 1)]) for part in parts]
    is_strict = any(value == "strict" for _, value in _values(lines, "ProtectSystem"))
    if is_strict and not any(state_dir.is_relative_to(path) for path in open_to_it):
        yield _ABOUT.failed(
            "unit-state-dir",
            f"state_dir is {state_dir}, where the unit does not let the agent write.",
            f"/etc/systemd/system/{NAME}.d",
            f"Leave state_dir at {STATE_DIR} and bind it there, in a drop-in, under [Service]: "
            f"BindPaths={state_dir}:{STATE_DIR}, {_RELOAD}",
        )
