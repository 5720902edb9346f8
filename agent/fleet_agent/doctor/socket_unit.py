"""``fleet-agent.socket``, by the files that systemd reads: does it create the socket that the configuration needs?"""

from pathlib import Path

from fleet_agent import files, unit_file
from fleet_agent.config.paths import SERVICE_RUNTIME_DIR
from fleet_agent.config.readings import FromSocket
from fleet_agent.config.settings import Settings
from fleet_agent.doctor import unit
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Findings, Subject, guarded
from fleet_agent.statedir.filesystem import BOOTED
from fleet_agent.statedir.owner import USER

_ABOUT = Subject("socket unit")
NAME = "fleet-agent.socket"
_RELOAD = "then: systemctl daemon-reload; systemctl stop fleet-agent.socket fleet-agent; systemctl start fleet-agent"


def check(device: Device) -> Findings:
    """Checks it if the configuration takes readings from local programs."""
    found = unit.files_of(device.root, NAME)
    settings = device.settings
    if not found or settings is None or not any(_sources(settings)):
        return
    if device.root == Path("/") and not BOOTED.is_dir():
        return
    yield from guarded(_ABOUT, found[0], lambda: _check(settings, found))


def _sources(settings: Settings) -> list[FromSocket]:
    return [item for item in settings.telemetry.sources if isinstance(item, FromSocket)]


def _check(settings: Settings, found: list[Path]) -> Findings:
    folder = f"/etc/systemd/system/{NAME}.d"
    if found[0].is_symlink() and str(found[0].readlink()) == "/dev/null":
        yield _ABOUT.warning(
            "socket-masked",
            f"{NAME} is masked: while the agent restarts, programs cannot connect.",
            found[0],
            f"systemctl unmask {NAME}; {_RELOAD}",
        )
        return
    values = {}
    for path in found:
        for line in unit_file.lines(files.read_given(path).decode(errors="replace")):
            if line.section == "Socket" and line.is_assignment:
                values[line.key] = line.value
    wanted = _sources(settings)[0].socket.group or USER
    made = values.get("SocketGroup") or "root"
    if made != wanted:
        yield _ABOUT.warning(
            "socket-group",
            f"The configuration gives the socket to the group {wanted}, but {NAME} creates it for {made}.",
            found[-1],
            f"In a drop-in of {folder}, under [Socket]: SocketGroup={wanted}, {_RELOAD}",
        )
    else:
        yield _ABOUT.ok(f"{NAME} creates the socket for the group {made}.", found[0])
    if settings.runtime_dir not in (None, str(SERVICE_RUNTIME_DIR)):
        yield _ABOUT.warning(
            "socket-elsewhere",
            f"The agent listens in {settings.runtime_dir}, but {NAME} in {SERVICE_RUNTIME_DIR}: no readings arrive.",
            found[0],
            f"Remove runtime_dir from the configuration, or: systemctl disable --now {NAME}",
        )
