"""From the settings to the loop: the state is taken, an identity found or got, its session opened.

The order is what a boot costs: an identity that is there connects while the rest of the daemon is imported.
"""

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fleet_agent.clock import SystemClock, passed
from fleet_agent.config import checked
from fleet_agent.config.paths import runtime_dir
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.daemon.endings import Ending, follow_up, reexecute
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.errors import DeviceError, TemporaryError
from fleet_agent.health.status import Health
from fleet_agent.identity import home, own_session, state_lock
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use
from fleet_agent.process import log, notify
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.programs.worker import Worker
from fleet_agent.provisioning.report import Report
from fleet_agent.session.backoff import CONNECT_INTERVAL
from fleet_agent.session.mqtt import Session
from fleet_agent.statedir.lock import Lock
from fleet_agent.statedir.owner import become_owner

if TYPE_CHECKING:
    from fleet_agent.provisioning.runner import Provisioned


def start(read: Callable[[], StartOptions], worker: Worker, known: StartOptions | None) -> None:
    """Runs the agent: provisions if needed, then publishes readings and carries out orders until asked to stop.

    Args:
        read: Reads command line and configuration again.
        worker: Has been asked to read them, where they are not known.
        known: The options, if their configuration was checked before.

    Raises:
        AgentError: Something on the device must be changed first.
        StopRequested: Asked to end while provisioning, and everything is closed.
    """
    # Before anything that is started here could inherit what systemd passes.
    listeners = Listeners()
    options = known or _read_options(read, worker)
    log.set_up(verbose=options.is_verbose)
    follows, not_before = follow_up()
    lock = _take_state(options)
    mailbox = _mailbox()
    store = open_store(options.settings)
    credential = _in_use(store)
    settings = home.at_home(options.settings, credential)
    # Configuration and state are sound; whether AWS answers is another matter.
    notify.ready()
    worker = _with_our_rights(worker)
    session = None
    if credential is not None:
        session = _connect(settings, credential, store, mailbox, not_before)
    # While it connects.
    from fleet_agent.daemon.composition import Composition, ProcessContext
    from fleet_agent.daemon.progress import Progress

    if session is not None:
        session.set_nodelay()
    gc.freeze()
    gc.enable()
    health = Health(runtime_dir(Path(settings.state_dir), settings.runtime_dir), SystemClock())
    report = Progress(health)
    if credential is None:
        done = _first_identity(options, report, health, store, mailbox, worker)
        credential, session = done.credential, done.session
    session = session or _connect(settings, credential, store, mailbox, not_before)
    store.update_ledger()
    process = ProcessContext(
        read=read,
        store=store,
        mailbox=mailbox,
        health=health,
        report=report,
        worker=worker,
        listeners=listeners,
        follows=follows,
    )
    composition = Composition(settings, process)
    if known is None:
        checked.ask_service(options.configuration, os.environ)
    ending = composition.run(credential, session)
    worker.close()
    if ending is not Ending.STOP:
        options = composition.reloaded or options
        reexecute(ending, options, lock, listeners, mailbox, composition.not_before)
    listeners.close()


def _take_state(options: StartOptions) -> Lock:
    """Goes on as the state directory's owner, and takes the right to write there."""
    settings = options.settings
    become_owner(Path(settings.state_dir), any_owner=options.any_owner)
    return state_lock.take(settings, allow_volatile=options.allow_volatile)


def _mailbox() -> Mailbox:
    """One that feeds the watchdog, and takes what is asked of the process by signals."""
    mailbox = Mailbox(SystemClock(), notify.alive, notify.watchdog_interval() or 3600.0)
    mailbox.stop_on_signals()
    mailbox.take_requests_by_signal()
    if os.getpid() == 1:
        # Of a container: orphans are ours, from the first wait on.
        from fleet_agent.programs.reaper import reap

        mailbox.act_on(signal.SIGCHLD, reap)
    return mailbox


def _read_options(read: Callable[[], StartOptions], worker: Worker) -> StartOptions:
    try:
        return cast("StartOptions", worker.answer())
    except TemporaryError:
        # The worker died of something unforeseen: raised here, it is reported.
        return read()


def _with_our_rights(worker: Worker) -> Worker:
    """Another worker where root forked this one, and this process is no longer root."""
    if worker.is_of_this_process:
        return worker
    worker.close()
    return Worker()


def _connect(
    settings: Settings, credential: Credential, store: Store, mailbox: Mailbox, not_before: float
) -> Session:
    """Opens the device's session, without waiting for it.

    Args:
        settings: The configuration.
        credential: The current one.
        store: Has its key.
        mailbox: Where its events go.
        not_before: The image of the process before this one was connected a second before (monotonic seconds).

    Raises:
        DeviceError: The certificate, key or CA cannot be loaded.
    """
    clock = SystemClock()
    left = not_before - clock.monotonic()
    if credential.proven is not None:
        # Another process proved it, just now.
        since = passed(credential.proven, credential.uptime, clock)
        if since >= 0:
            left = max(left, CONNECT_INTERVAL - since)
    if 0 < left <= CONNECT_INTERVAL:
        mailbox.sleep(left)
    return own_session.start(settings, credential, store, mailbox)


def _first_identity(
    options: StartOptions,
    report: Report,
    health: Health,
    store: Store,
    mailbox: Mailbox,
    worker: Worker,
) -> "Provisioned":
    from fleet_agent.identity.walk import Request, walk
    from fleet_agent.provisioning import spread

    settings = options.settings
    health.set_activity("provisioning")
    if settings.provisioning is not None and spread.is_due(store.pending()):
        window = settings.provisioning.spread
        spread.await_turn(window, Path(settings.state_dir), health.clock, mailbox)
    done = walk(settings, Request(outlasts_refusal=True), report, store, mailbox, worker=worker)
    log.about(step=None, attempt=None, tries=None, problem=None)
    return done


def _in_use(store: Store) -> Credential | None:
    """The current credential; None: there is none yet, and one can be had."""
    credential = in_use(store)
    found = store.pending() if credential is None else None
    if found is None or found.registration is None or found.has_key:
        return credential
    if found.attempt.csr_hash is not None:
        raise DeviceError(
            f"This device is registered, but the private key of {store.folder(found.number)} is not stored there.",
            remedy="Pass it: fleet-agent provision --csr FILE --csr-key FILE; or start over with --restart.",
            code="key-elsewhere",
        )
    return credential
