"""What the unit starts: provision if need be, then carry telemetry until asked to stop."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import cast

from fleet_agent import log, notify, statedir
from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.daemon.endings import Ending, follow_up, reexecute
from fleet_agent.errors import DeviceError, TemporaryError
from fleet_agent.health.status import Health, runtime_dir
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use
from fleet_agent.identity.provision import take_state
from fleet_agent.identity.walk import Request, walk
from fleet_agent.listeners import Listeners
from fleet_agent.mailbox import Mailbox, hold_orders
from fleet_agent.programs.aside import Aside
from fleet_agent.provisioning import spread
from fleet_agent.provisioning.report import Report
from fleet_agent.session.mqtt import Session

_log = logging.getLogger(__name__)


def run(
    load: Callable[[], Settings], request: Request, make_report: Callable[[Health], Report]
) -> None:
    """Provision if need be, then carry telemetry until asked to stop.

    Args:
        load: Reads the settings; for a reload in another program, so it must be picklable.
        request: What the command line asks for.
        make_report: Given where problems go, what hears of provisioning's progress.

    Raises:
        AgentError: Something on the device must be changed first.
        StopRequested: Asked to end while provisioning, and everything is closed.
    """
    hold_orders()
    # The only fork of the agent's: before any thread lives. The YAML parser stays there.
    with contextlib.closing(Aside.forked()) as beside:
        _run(load, request, make_report, beside)


def _run(
    load: Callable[[], Settings],
    request: Request,
    make_report: Callable[[Health], Report],
    beside: Aside,
) -> None:
    settings = _load(load, beside)
    follows, not_before = follow_up()
    statedir.become_owner(Path(settings.state_dir), any_owner=request.any_owner)
    lock = take_state(settings, allow_volatile=request.allow_volatile)
    clock = SystemClock()
    mailbox = Mailbox(clock, notify.alive, notify.watchdog_interval() or 3600.0)
    mailbox.stop_on_signals()
    mailbox.take_orders_by_signal()
    store = open_store(settings)
    health = Health(runtime_dir(Path(settings.state_dir), settings.runtime_dir), clock)
    credential = in_use(store)
    _refuse_kept_elsewhere(store, credential)
    notify.ready()  # configuration and state are sound; whether AWS answers is another matter
    report = make_report(health)
    session: Session | None = None
    if not beside.is_of_this_process:
        beside.close()
        beside = Aside()
    if credential is None:
        health.set_activity("provisioning")
        if settings.provisioning is not None and spread.is_due(store.pending()):
            window = settings.provisioning.spread
            spread.await_turn(window, Path(settings.state_dir), clock, mailbox)
        done = walk(settings, request, report, store, mailbox, aside=beside)
        credential, session = done.credential, done.session
    beside.close()
    store.update_ledger()
    log.about(step=None, attempt=None, tries=None, problem=None)
    from fleet_agent.daemon.composition import Composition, Surroundings

    around = Surroundings(
        load=load,
        store=store,
        mailbox=mailbox,
        health=health,
        report=report,
        aside=beside,
        listeners=Listeners(),
        follows=follows,
        not_before=not_before,
    )
    composition = Composition(settings, around)
    ending = composition.run(credential, session)
    if ending is Ending.STOP:
        around.listeners.close()
        return
    reexecute(ending, lock, around.listeners, composition.not_before)


def _load(load: Callable[[], Settings], beside: Aside) -> Settings:
    """Have the configuration read beside, and import meanwhile what every start needs, which takes twice as long."""
    beside.ask(load)
    from fleet_agent.daemon import composition

    del composition
    try:
        return cast("Settings", beside.answer())
    except TemporaryError:
        # It ended over something that nobody foresaw: here that is reported.
        return load()


def _refuse_kept_elsewhere(store: Store, credential: Credential | None) -> None:
    if credential is not None:
        return
    found = store.pending()
    if found is None or found.registration is None or found.has_key:
        return
    if found.attempt.csr_hash is not None:
        raise DeviceError(
            f"This device is registered, but the private key of {store.folder(found.number)} is elsewhere.",
            remedy="Give it: fleet-agent provision --csr FILE --csr-key FILE; or start again with --restart.",
            code="key-elsewhere",
        )
