"""``fleet-agent status``: who this device is, what it does, and what is wrong."""

import argparse
import datetime as dt
import math
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from fleet_agent.cli import flags, terminal
from fleet_agent.cli.outcome import Outcome
from fleet_agent.cli.terminal import Line, Styled
from fleet_agent.clock import SystemClock, text
from fleet_agent.credentials.model import Credential, Generation
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, DeviceError, StateDamagedError
from fleet_agent.health import status_file
from fleet_agent.health.problems import Severity
from fleet_agent.identity import recovery_state
from fleet_agent.identity.in_use import in_use
from fleet_agent.identity.ladder import Rung
from fleet_agent.identity.recovery_state import RecoveryState
from fleet_agent.record import record
from fleet_agent.statedir.lock import holder

_T = TypeVar("_T")

HEALTHY, UNHEALTHY, NOT_RUNNING, NOT_PROVISIONED = 0, 1, 3, 4

_COLOURS = {Severity.ERROR.value: "red", Severity.NOTICE.value: "dim"}

_ORDERS = 5  # that people are shown; all of the last ones are in --json

_LOOK_EVERY = 0.2  # seconds
_WAIT = 120.0  # seconds
_START = 2.0  # seconds


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "status",
        parents=[common],
        help="show identity, daemon and problems",
        description="Shows who this device is, what the agent does, and what is wrong. Exit status: 0 healthy, "
        "perhaps with notices; 1 provisioned but with a problem; 3 not running; 4 not provisioned.",
    )
    flags.add_settings(parser)
    parser.add_argument(
        "--wait",
        nargs="?",
        type=flags.seconds,
        const=_WAIT,
        metavar="SECONDS",
        help=f"wait until the agent is healthy and connected, at most this long (default {_WAIT:g}; 0: for ever)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    state_dir, runtime_dir = flags.directories(arguments)
    if arguments.wait is None:
        seen = _once(state_dir, runtime_dir)
        status = seen.status
    else:
        seen = _wait(state_dir, runtime_dir, arguments.wait)
        status = seen.status if seen.is_well else seen.status or UNHEALTHY
    return Outcome(data=_answer(seen, state_dir), lines=_for_people(seen), status=status)


@record
class _Seen:
    """A snapshot of identity and daemon.

    ``damage``: why the credential on disk, an attempt or the ledger is not usable; ``silence``: why what the daemon
    does is not known.
    """

    credential: Credential | None
    damage: AgentError | None = None
    silence: AgentError | None = None
    pending: Generation | None
    recovery: RecoveryState
    process: int | None
    daemon: dict[str, Any] | None

    @property
    def problems(self) -> list[dict[str, str]]:
        """The problems of the identity and of the daemon, the most severe first."""
        shown = self.daemon.get("problems") if self.daemon else None
        found = (
            [item for item in shown if isinstance(item, dict)] if isinstance(shown, list) else []
        )
        ours = []
        for error in filter(None, (self.damage, self.silence)):
            words = {"code": error.code, "title": error.title, "remedy": error.remedy}
            rest = {"name": None, "severity": Severity.ERROR.value, "since": None}
            ours.append({**words, **rest})
        return [*ours, *found]

    @property
    def count(self) -> int:
        """The number of problems that need attention: all but notices."""
        return sum(item.get("severity") != Severity.NOTICE.value for item in self.problems)

    @property
    def doing(self) -> str:
        """The daemon's activity, as it reports it."""
        return str(self.daemon.get("doing")) if self.daemon else ""

    @property
    def status(self) -> int:
        """The exit status."""
        if self.credential is None:
            return NOT_PROVISIONED
        if self.process is None:
            return NOT_RUNNING
        return UNHEALTHY if self.count else HEALTHY

    @property
    def is_well(self) -> bool:
        """Whether the agent is healthy and connected, as ``--wait`` awaits."""
        is_connected = self.daemon is not None and self.daemon.get("connected") is True
        return self.status == HEALTHY and is_connected


def _look(state_dir: Path, runtime_dir: Path) -> _Seen:
    store = Store(state_dir, SystemClock())
    process = holder(state_dir)
    credential, credential_damage = _unless_damaged(lambda: in_use(store))
    pending, attempt_damage = _unless_damaged(store.pending)
    _, ledger_damage = _unless_damaged(store.ledger.latest)
    daemon, silence = None, None
    if process is not None:
        daemon, silence = _unless_damaged(lambda: status_file.of_agent(runtime_dir, process))
    return _Seen(
        credential=credential,
        damage=credential_damage or attempt_damage or ledger_damage,
        silence=silence,
        pending=pending,
        recovery=recovery_state.read(state_dir),
        process=process,
        daemon=daemon,
    )


def _unless_damaged(look: Callable[[], _T | None]) -> tuple[_T | None, AgentError | None]:
    try:
        return look(), None
    except (StateDamagedError, DeviceError) as error:
        return None, error


def _once(state_dir: Path, runtime_dir: Path) -> _Seen:
    """Looks, and for a moment longer at an agent that has only just started, and shows nothing yet."""
    clock = SystemClock()
    until = clock.monotonic() + _START
    while (seen := _look(state_dir, runtime_dir)).silence and clock.monotonic() < until:
        threading.Event().wait(_LOOK_EVERY)
    return seen


def _wait(state_dir: Path, runtime_dir: Path, limit: float) -> _Seen:
    """Looks until all is well, or the limit (seconds; 0: none) has passed."""
    clock = SystemClock()
    until = clock.monotonic() + (limit or math.inf)
    with terminal.Spinner(sys.stderr) as spinner:
        while True:
            seen = _look(state_dir, runtime_dir)
            if seen.is_well or clock.monotonic() >= until:
                return seen
            spinner.show(seen.doing or "no agent is running")
            threading.Event().wait(_LOOK_EVERY)


def _answer(seen: _Seen, state_dir: Path) -> dict[str, object]:
    credential = seen.credential
    return {
        "provisioned": credential is not None,
        "thing_name": credential.thing_name if credential else None,
        "certificate_id": credential.certificate_id if credential else None,
        "origin": credential.origin if credential else None,
        "template": (credential.template or None) if credential else None,
        "proven": text(credential.proven) if credential and credential.proven else None,
        "endpoint": credential.endpoint if credential else None,
        "attempt": _attempt(seen.pending),
        "recovery": recovery_state.shown(seen.recovery),
        "running": seen.process is not None,
        "daemon": seen.daemon,
        "problems": seen.problems,
        "state_dir": str(state_dir),
    }


def _attempt(pending: Generation | None) -> dict[str, object] | None:
    if pending is None:
        return None
    return {
        "generation": pending.number,
        "origin": pending.attempt.origin,
        "template": pending.attempt.template or None,
        "method": pending.attempt.method,
        "tries": pending.attempt.tries,
        "certificate_id": pending.issued.certificate_id if pending.issued else None,
        "thing_name": pending.registration.thing_name if pending.registration else None,
    }


def _for_people(seen: _Seen) -> Iterator[Line]:
    """The state in one line, then the details, then what to do."""
    yield _headline(seen)
    if seen.credential is not None:
        yield from _identity(seen.credential)
    if seen.pending is not None:
        tries = seen.pending.attempt.tries
        times = "once" if tries == 1 else f"{tries} times"
        yield _row("attempt", f"generation {seen.pending.number}, tried {times}")
    if (known := seen.recovery).rung is not Rung.IN_SERVICE:
        yield _row("ladder", f"{known.rung.value}{_tries(known)}")
    if seen.process is not None:
        yield _row("daemon", f"running{_since(seen.daemon)}, process {seen.process}")
    if seen.daemon:
        yield _row("doing", seen.doing)
        yield from _traffic(seen.daemon)
        yield from _orders(seen.daemon)
    for problem in seen.problems:
        severity = str(problem.get("severity", "problem"))
        title = Styled(str(problem.get("title")), _COLOURS.get(severity, "yellow"))
        yield _row(severity, title, _beginning(problem))
        yield _row("", f"→ {problem.get('remedy')}")


def _tries(known: RecoveryState) -> str:
    if known.tried is None:
        return ""
    times = "once" if known.tries == 1 else f"{known.tries} times"
    return f", asked {times}, again at {text(known.tried.wall + known.wait)}"


def _headline(seen: _Seen) -> Line:
    count = seen.count
    words, colour = {
        HEALTHY: (seen.doing or "running", "green"),
        UNHEALTHY: (f"{count} problem{'s' if count > 1 else ''}", "yellow"),
        NOT_RUNNING: (
            "no agent is running (systemctl start fleet-agent, or fleet-agent run)",
            "red",
        ),
        NOT_PROVISIONED: ("no identity yet (fleet-agent provision)", "red"),
    }[seen.status]
    if seen.status == NOT_PROVISIONED and seen.process is not None:
        words, colour = seen.doing or "no identity yet", "yellow"
    elif seen.credential is None and seen.damage:
        words = "no identity: it is damaged"
    name = seen.credential.client_id if seen.credential else "this device"
    return (Styled("●", colour), " ", Styled(name, "bold"), ": ", Styled(words, colour))


def _identity(credential: Credential) -> Iterator[Line]:
    proven = f", proven {text(credential.proven)}" if credential.proven else ""
    origin = "adopted" if credential.origin == "adopted" else f"template {credential.template}"
    yield _row("thing", f"{credential.thing_name or '(none)'}  ({origin}{proven})")
    yield _row("certificate", credential.certificate_id)
    yield _row("endpoint", credential.endpoint)


def _traffic(daemon: dict[str, Any]) -> Iterator[Line]:
    yield _row(
        "readings",
        f"{daemon.get('readings_acknowledged')} acknowledged, "
        f"{daemon.get('readings_waiting')} waiting, {daemon.get('readings_dropped')} dropped",
    )
    if daemon.get("readings_waiting") and daemon.get("oldest_waiting"):
        waiting = f"{daemon['oldest_waiting']} ({daemon.get('bytes_waiting')} bytes waiting)"
        yield _row("oldest", waiting)
    rates = [daemon.get(f"readings_{name}_per_second") or 0 for name in ("stored", "acknowledged")]
    if any(rates):
        yield _row("rates", f"{rates[0]} stored, {rates[1]} acknowledged a second")
    if dropped := {why: n for why, n in _mapping(daemon.get("dropped")).items() if n}:
        words = ", ".join(f"{n} {why}" for why, n in dropped.items())
        yield _row("dropped", f"{words} (since the queue was created)")
    if answers := daemon.get("answers_dropped"):
        yield _row("dropped", f"{answers} answers to messages (since the start)")
    for name, shown in _mapping(daemon.get("credentials")).items():
        yield _row("credentials", f"{name}: {_credentials(_mapping(shown))}")
    for kind in ("source", "handler"):
        for name, counters in _mapping(daemon.get(f"{kind}s")).items():
            counted = _mapping(counters)
            lost = _mapping(counted.get("dropped")).values()
            if count := sum(number for number in lost if isinstance(number, int)):
                yield _row(kind, f"{name}: {count} dropped")
            if error := counted.get("last_error"):
                yield _row(kind, f"{name}: last error {counted.get('last_error_time')}: {error}")


def _credentials(shown: dict[str, Any]) -> str:
    words = f"until {shown['expires']}" if shown.get("expires") else "none requested yet"
    if shown.get("last_error"):
        words += f", last error {shown.get('last_error_time')}: {shown['last_error']}"
    return words


def _orders(daemon: dict[str, Any]) -> Iterator[Line]:
    """The last ones, the newest first."""
    if count := daemon.get("messages_unmatched"):
        yield _row("messages", f"{count} matched no subscription")
    shown = daemon.get("orders")
    found = (
        [order for order in shown if isinstance(order, dict)] if isinstance(shown, list) else []
    )
    for order in reversed(found[-_ORDERS:]):
        outcome = str(order.get("outcome"))
        why = f": {order['reason']}" if order.get("reason") else ""
        origin = order.get("origin")
        words = f" {origin} {str(order.get('id')).removeprefix(f'{origin}:')} by {order.get('handler')}{why}"
        colour = "green" if outcome == "done" else "yellow"
        yield _row("order", f"{order.get('time')}  ", Styled(outcome, colour), words)


def _mapping(value: object) -> dict[str, Any]:
    """A part of what the daemon shows; empty when it is something else, as another version may have it."""
    return value if isinstance(value, dict) else {}


def _row(name: str, *words: str | Styled) -> Line:
    return ("  ", Styled(f"{name:11}", "dim"), "  ", *words)


def _beginning(problem: dict[str, str]) -> str:
    return f" (since {problem['since']})" if problem.get("since") else ""


def _since(daemon: dict[str, Any] | None) -> str:
    """For how long it runs, as people say it; by its own word, which a stepping clock can make wrong."""
    try:
        began = dt.datetime.fromisoformat(str((daemon or {})["started"]))
        passed = int(SystemClock().wall() - began.timestamp())
    except (KeyError, ValueError, OverflowError):
        return ""
    if passed < 0:
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f" for {passed // size} {unit}"
    return f" for {passed} s"
