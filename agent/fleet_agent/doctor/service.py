"""The service, as systemd and the running agent show it; asked while still root, where root asks."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_agent.doctor import queue
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Finding, Findings, Subject, guarded
from fleet_agent.doctor.unit import NAME
from fleet_agent.health import status_file
from fleet_agent.health.problems import Severity
from fleet_agent.programs.launch import ENVIRONMENT
from fleet_agent.statedir.filesystem import BOOTED
from fleet_agent.statedir.lock import holder

_ABOUT = Subject("service")
# A problem's severity in the agent's status → what makes a finding of it.
_LEVELS: Mapping[str, Callable[[str, str, object, str], Finding]] = {
    Severity.ERROR.value: _ABOUT.failed,
    Severity.WARNING.value: _ABOUT.warning,
    Severity.NOTICE.value: _ABOUT.note,
}
_LIMIT = 15.0  # seconds for systemctl and its like


def ask(*words: str) -> str | None:
    """Returns the output of a systemd program; None if it is missing or does not answer."""
    program = shutil.which(words[0], path=ENVIRONMENT["PATH"])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *words[1:]],
            env=ENVIRONMENT,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout + done.stderr).decode(errors="replace")


def check_unit(device: Device) -> Findings:
    """Checks the unit as systemd shows it; finds nothing where systemd does not run."""
    if device.root != Path("/") or not BOOTED.is_dir():
        return
    shown = ask(
        "systemctl", "show", NAME, "-pLoadState,ActiveState,Result,UnitFileState,NeedDaemonReload"
    )
    state = dict(line.split("=", 1) for line in (shown or "").splitlines() if "=" in line)
    if state.get("LoadState") != "loaded":
        return
    found = [*_state(state), *_verified()]
    yield from found or [
        _ABOUT.ok(
            f"systemd reports it as {state.get('ActiveState')}, {state.get('UnitFileState')}."
        )
    ]


def _state(state: dict[str, str]) -> Findings:
    if state.get("ActiveState") == "failed":
        yield _ABOUT.failed(
            "service-failed",
            f"The service has failed ({state.get('Result')}).",
            NAME,
            "See why: journalctl -u fleet-agent; then: systemctl restart fleet-agent",
        )
    if state.get("NeedDaemonReload") == "yes":
        yield _ABOUT.warning(
            "service-stale",
            "The unit's files have changed since systemd read them.",
            NAME,
            "systemctl daemon-reload; systemctl restart fleet-agent",
        )
    if state.get("UnitFileState") == "disabled":
        yield _ABOUT.warning(
            "service-disabled",
            "The service does not start at boot.",
            NAME,
            "systemctl enable --now fleet-agent",
        )


def _verified() -> Findings:
    """Returns the complaints of systemd-analyze: unknown keys, missing programs."""
    for line in (ask("systemd-analyze", "verify", "--man=no", NAME) or "").splitlines():
        if NAME in line:
            yield _ABOUT.warning(
                "unit-verify",
                line.strip(),
                NAME,
                f"systemctl edit {NAME}, then systemctl daemon-reload",
            )


def check_agent(device: Device) -> Findings:
    """Reports the problems of the running agent."""
    yield from guarded(_ABOUT, device.state_dir / "lock", lambda: _agent(device))


def _agent(device: Device) -> Findings:
    process = holder(device.state_dir)
    if process is None:
        yield _ABOUT.note(
            "agent-not-running",
            "No agent is running.",
            remedy="systemctl start fleet-agent, or fleet-agent run",
        )
        return
    status = queue.shown(device)
    where = device.runtime_dir / status_file.NAME
    problems = [problem for problem in status.get("problems") or () if isinstance(problem, dict)]
    for problem in problems:
        found = _LEVELS.get(str(problem.get("severity")), _ABOUT.failed)
        code, title, remedy = (str(problem.get(key)) for key in ("code", "title", "remedy"))
        yield found(code, title, where, remedy)
    if not status:
        yield _ABOUT.note(
            "status-missing",
            f"An agent is running (process {process}) without a status.",
            where,
        )
    elif not problems:
        yield _ABOUT.ok(f"The agent is running (process {process}): {status.get('doing')}.", where)
