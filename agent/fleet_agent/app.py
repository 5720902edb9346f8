"""The composition root: builds the real things from settings and joins them. ``cli`` only parses and prints.

Imports that cost (the SDK, cryptography) stand in the functions that need them: ``status`` and an already provisioned
``provision`` touch neither.
"""

import dataclasses
import fcntl
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fleet_agent import files, notify, statedir
from fleet_agent.clock import SystemClock
from fleet_agent.config.paths import resolve_path
from fleet_agent.config.settings import Claim, Provisioning, Settings
from fleet_agent.credentials.model import Credential, Csr, KeyPair, Secret
from fleet_agent.credentials.store import CURRENT, Store
from fleet_agent.errors import AgentError, DeviceError, UsageError
from fleet_agent.health import Health, Problem, runtime_dir
from fleet_agent.mailbox import Mailbox
from fleet_agent.provisioning.report import Report

if TYPE_CHECKING:
    from fleet_agent.session.mqtt import Route

_log = logging.getLogger(__name__)

# Set for the program that takes over after provisioning, so that it happens once.
_REEXECUTED = "FLEET_AGENT_REEXECUTED"

# AWS takes one connect a second of a client id: `run` may come right after the proof.
_CONNECT_INTERVAL = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What ``provision`` is asked for beside the settings; ``timeout`` in seconds, 0 for ever."""

    csr_file: str | None = None
    csr_key_file: str | None = None
    force: bool = False
    restart: bool = False
    allow_volatile: bool = False
    timeout: float = 120.0
    outlasts_refusal: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What ``provision`` leaves: the credential, and whether it was there before."""

    credential: Credential
    was_there: bool


def open_store(settings: Settings) -> Store:
    """The credential store of the settings' state directory."""
    return Store(Path(settings.state_dir), SystemClock())


# Provisioning ---------------------------------------------------------------------------------------------------------


def provision(settings: Settings, request: Request, report: Report) -> Result:
    """Give this device an identity, or find that it has one.

    Raises:
        AgentError: What stopped it.
        StopRequested: It was interrupted; asked again, it goes on.
    """
    statedir.become_owner(Path(settings.state_dir))
    store = open_store(settings)
    if not request.force and (found := store.current()):
        return Result(credential=_stable(store, found), was_there=True)
    _take_state(settings, allow_volatile=request.allow_volatile)
    # --force is also the way out of a damaged identity: it does not look at it.
    if not request.force and (found := store.current()):  # another agent provisioned meanwhile
        return Result(credential=_stable(store, found), was_there=True)
    clock = SystemClock()
    mailbox = Mailbox(clock)
    mailbox.stop_on_signals()
    if request.timeout > 0:
        mailbox.limit(clock.monotonic() + request.timeout)
    return Result(
        credential=_walk(settings, request, report, store, mailbox),
        was_there=False,
    )


def _walk(
    settings: Settings, request: Request, report: Report, store: Store, mailbox: Mailbox
) -> Credential:
    from fleet_agent import device
    from fleet_agent.provisioning.model import Plan
    from fleet_agent.provisioning.runner import Runner, World
    from fleet_agent.telemetry.sources import system

    wanted, claim = _provisioning(settings)
    parameters = device.resolve(wanted.parameters)
    for warning in (text for item in parameters for text in item.warnings):
        _log.warning("%s", warning)
    report.step("parameters", ", ".join(f"{item.name}={item.value}" for item in parameters))
    values = {item.name: item.value for item in parameters}
    csr, csr_key = _given_csr(request)
    plan = Plan(
        endpoint=settings.endpoint,
        template=wanted.template,
        method="csr" if csr else wanted.method,
        key_type=wanted.key.type,
        parameters=values,
        csr=csr,
        csr_key=csr_key,
    )
    clock = SystemClock()
    state_dir = Path(settings.state_dir)
    world = World(
        route=_route(settings),
        telemetry_topic=settings.telemetry.topic,
        outlasts_refusal=request.outlasts_refusal,
        store=store,
        mailbox=mailbox,
        clock=clock,
        report=report,
        jitter=_jitter,
        read_claim=lambda: _read_claim(claim),
        reading=lambda: system.read(clock, state_dir).payload(),
    )
    credential = Runner(plan, world).provision(restart=request.restart)
    return _stable(store, credential)


def _route(settings: Settings) -> "Route":
    from fleet_agent.session.mqtt import Route

    return Route(
        host=settings.endpoint, port=settings.port, ca_file=settings.ca_file, proxy=settings.proxy
    )


def _provisioning(settings: Settings) -> tuple[Provisioning, Claim]:
    if settings.provisioning is None or settings.claim is None:
        missing = "provisioning" if settings.provisioning is None else "claim"
        raise DeviceError(
            f"This device has no identity yet, and the configuration has no section `{missing}`.",
            remedy="Add it (docs/reference/configuration.md), or give --cert, --key and --template-name.",
            code="configuration",
        )
    return settings.provisioning, settings.claim


def _read_claim(claim: Claim) -> KeyPair:
    certificate = resolve_path(claim.certificate, os.environ)
    private_key = resolve_path(claim.private_key, os.environ)
    return KeyPair(
        certificate=_read_text(certificate, "the claim certificate"),
        private_key=Secret(_read_text(private_key, "the claim's private key")),
        certificate_file=str(certificate),
        private_key_file=str(private_key),
    )


def _given_csr(request: Request) -> tuple[Csr | None, Secret | None]:
    """The CSR of ``--csr``, checked, and its key when ``--csr-key`` gives it."""
    if request.csr_file is None:
        if request.csr_key_file is not None:
            raise UsageError(
                "--csr-key is the key of a CSR.", remedy="Give that with --csr FILE.", code="usage"
            )
        return None, None
    from fleet_agent.credentials import keys

    pem = _read_text(Path(request.csr_file), "the CSR")
    csr = keys.read_csr(pem.encode(), request.csr_file)
    if request.csr_key_file is None:
        return csr, None
    key = Secret(_read_text(Path(request.csr_key_file), "the CSR's private key"))
    if keys.public_key_of_key(key, request.csr_key_file) != csr.public_key:
        raise DeviceError(
            f"The key in {request.csr_key_file} is not that of the CSR in {request.csr_file}.",
            remedy="Give the two that were made together.",
            code="key-mismatch",
        )
    return csr, key


def _read_text(path: Path, what: str) -> str:
    try:
        return path.read_text("ascii", errors="replace")
    except OSError as error:
        raise DeviceError(
            f"Cannot read {what} {path}: {error.strerror}.",
            remedy="Check the path and that the agent's user may read it "
            f"(chgrp _fleet-agent {path}; chmod 640 {path}).",
            code="file-unreadable",
        ) from error


def _stable(store: Store, credential: Credential) -> Credential:
    """The current credential under the path that stays: through the link ``current``."""
    if not credential.is_proven:
        return credential
    folder = store.folder(credential.generation)
    current = folder.with_name(CURRENT)
    files_of = {
        field: str(current / Path(path).name)
        for field, path in (
            ("certificate_file", credential.certificate_file),
            ("private_key_file", credential.private_key_file),
        )
        if path is not None
    }
    return dataclasses.replace(credential, **files_of)  # type: ignore[arg-type]


def _take_state(settings: Settings, *, allow_volatile: bool) -> statedir.Lock:
    """Everything before the first write: a persistent place, and ours alone."""
    state_dir = Path(settings.state_dir)
    if not allow_volatile and (warning := statedir.refuse_volatile(state_dir)):
        _log.warning("%s", warning)
    return statedir.take_lock(state_dir)


# The daemon -----------------------------------------------------------------------------------------------------------


def run(settings: Settings, request: Request, make_report: Callable[[Health], Report]) -> None:
    """Provision if need be, then carry telemetry until asked to stop.

    Raises:
        AgentError: Something on the device must be changed first.
        StopRequested: Asked to end, and everything is closed.
    """
    statedir.become_owner(Path(settings.state_dir))
    lock = _take_state(settings, allow_volatile=request.allow_volatile)
    clock = SystemClock()
    mailbox = Mailbox(clock, notify.alive, notify.watchdog_interval() or 3600.0)
    mailbox.stop_on_signals()
    store = open_store(settings)
    folder = runtime_dir(Path(settings.state_dir), settings.runtime_dir)
    health = Health(folder, clock)
    credential = store.current()
    _refuse_kept_elsewhere(store, credential)
    notify.ready()  # configuration and state are sound; whether AWS answers is another matter
    if credential is None:
        health.doing("provisioning")
        if settings.provisioning is not None and store.pending() is None:
            _spread(settings.provisioning.spread, mailbox)
        credential = _walk(settings, request, make_report(health), store, mailbox)
        if _REEXECUTED not in os.environ:
            _reexecute(lock)
    store.tell_ledger()
    _show_identity(folder, store, credential)
    _carry_telemetry(settings, credential, store, mailbox, health)


def _carry_telemetry(
    settings: Settings, credential: Credential, store: Store, mailbox: Mailbox, health: Health
) -> None:
    from fleet_agent.session.mqtt import Session
    from fleet_agent.telemetry.loop import TelemetryLoop

    clock = SystemClock()
    if credential.proven is not None:
        since = clock.wall() - credential.proven
        mailbox.sleep(_CONNECT_INTERVAL - since if 0 <= since < _CONNECT_INTERVAL else 0.0)
    pair = store.key_pair(credential.generation)
    filters = [(credential.topic(item.topic), item.qos) for item in settings.subscriptions]
    session = Session(
        _route(settings), pair, credential.client_id, mailbox, filters=filters, is_thing=True
    )
    try:
        TelemetryLoop(
            session=session,
            credential=credential,
            telemetry=settings.telemetry,
            subscriptions=settings.subscriptions,
            mailbox=mailbox,
            clock=clock,
            health=health,
            disk=Path(settings.state_dir),
        ).run()
    finally:
        notify.stopping()
        session.close()
        health.doing("stopped")


def _refuse_kept_elsewhere(store: Store, credential: Credential | None) -> None:
    if credential is not None:
        return
    found = store.pending()
    if found is None or found.registration is None or found.has_key:
        return
    if found.attempt.csr_hash is not None:
        raise DeviceError(
            f"This device is registered, but the private key of {store.folder(found.number)} is elsewhere.",
            remedy="Bring it: fleet-agent provision --csr FILE --csr-key FILE; or begin anew with --restart.",
            code="key-elsewhere",
        )


def _spread(window: float, mailbox: Mailbox) -> None:
    """Wait a random part of the fleet's window, so that devices switched on together do not come together."""
    if window > 0:
        seconds = window * _jitter()
        _log.info("first contact in %.0f s, spread over %.0f s", seconds, window)
        mailbox.sleep(seconds)


def _jitter() -> float:
    """A random number in [0, 1), without the module ``random`` and what it imports."""
    return int.from_bytes(os.urandom(6)) / 2**48


def _reexecute(lock: statedir.Lock) -> NoReturn:
    """Become a new process image: neither the claim's key nor the provisioning libraries stay in memory."""
    _log.info("provisioned; starting afresh without the claim in memory")
    environment = {**os.environ, _REEXECUTED: "1"}
    for path in list(Path("/proc/self/fd").iterdir()):
        descriptor = int(path.name)
        if descriptor > 2:  # noqa: PLR2004 - keep the standard three
            try:
                fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            except OSError:
                continue  # the descriptor of the listing itself, closed by now
    lock.hand_over(environment)
    logging.shutdown()
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _show_identity(folder: Path, store: Store, credential: Credential) -> None:
    """Tell other programs who this device is: ``identity.json``, readable by all, no secret."""
    identity: Mapping[str, object] = {
        "schema": 1,
        "thing_name": credential.thing_name,
        "certificate_id": credential.certificate_id,
        "certificate_file": _stable(store, credential).certificate_file,
        "device_configuration": dict(credential.device_configuration),
    }
    data = json.dumps(identity, indent=1).encode() + b"\n"
    files.write(folder / "identity.json", data, 0o644, durable=False)


def as_problem(error: AgentError) -> Problem:
    """An error that the daemon lives with."""
    return Problem(code=error.code, title=error.title, remedy=error.remedy)
