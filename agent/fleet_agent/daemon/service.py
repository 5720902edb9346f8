"""What the service runs: provision if need be, then carry telemetry until asked to stop."""

import fcntl
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from fleet_agent import log, notify, statedir
from fleet_agent.app import spread
from fleet_agent.app.provision import Request, open_store, take_state, walk
from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, DeviceError
from fleet_agent.health import Health, Problem, runtime_dir
from fleet_agent.mailbox import Mailbox, hold_orders
from fleet_agent.provisioning.report import Report

_log = logging.getLogger(__name__)

# Set for the program that takes over after provisioning, so that it happens once.
_REEXECUTED = "FLEET_AGENT_REEXECUTED"


def run(
    load: Callable[[], Settings], request: Request, make_report: Callable[[Health], Report]
) -> None:
    """Provision if need be, then carry telemetry until asked to stop.

    Args:
        load: Reads the settings; again on SIGHUP.
        request: What the command line asks for.
        make_report: Given where problems go, what hears of provisioning's progress.

    Raises:
        AgentError: Something on the device must be changed first.
        StopRequested: Asked to end, and everything is closed.
    """
    hold_orders()
    settings = load()
    statedir.become_owner(Path(settings.state_dir))
    lock = take_state(settings, allow_volatile=request.allow_volatile)
    clock = SystemClock()
    mailbox = Mailbox(clock, notify.alive, notify.watchdog_interval() or 3600.0)
    mailbox.stop_on_signals()
    mailbox.take_orders_by_signal()
    store = open_store(settings)
    folder = runtime_dir(Path(settings.state_dir), settings.runtime_dir)
    health = Health(folder, clock)
    credential = store.current()
    _refuse_kept_elsewhere(store, credential)
    notify.ready()  # configuration and state are sound; whether AWS answers is another matter
    if credential is None:
        health.doing("provisioning")
        if settings.provisioning is not None and spread.is_due(store.pending()):
            window = settings.provisioning.spread
            spread.await_turn(window, Path(settings.state_dir), clock, mailbox)
        credential = walk(settings, request, make_report(health), store, mailbox)
        if _REEXECUTED not in os.environ:
            _reexecute(lock)
    store.tell_ledger()
    log.about(step=None, attempt=None, tries=None, problem=None)
    from fleet_agent.daemon import composition

    composition.carry(settings, load, store, mailbox, health, make_report(health))
    _reexecute(lock)  # with the credential that replaced the one before


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
    hold_orders()
    lock.hand_over(environment)
    logging.shutdown()
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def as_problem(error: AgentError) -> Problem:
    """An error that the daemon lives with."""
    return Problem(code=error.code, title=error.title, remedy=error.remedy)
