"""Requests to the running process, carried out between two events: reload the configuration, rotate, recover, move.

A reload ends the loop only once the new configuration is known to work. A rotation leaves the new credential in
service, or the old one.
"""

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.daemon.endings import Ending
from fleet_agent.daemon.serving import Serving
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.errors import (
    AgentError,
    ConfigurationError,
    DeviceError,
    StateDirectoryError,
)
from fleet_agent.health import table
from fleet_agent.health.problems import ProblemKind
from fleet_agent.health.status import Health
from fleet_agent.identity import home, own_session, rotate
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use
from fleet_agent.identity.walk import within
from fleet_agent.orders.router import Orders
from fleet_agent.printable import printable
from fleet_agent.process import log
from fleet_agent.process.log import Moment
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.programs.worker import Worker
from fleet_agent.provisioning.report import Report
from fleet_agent.session.backoff import CONNECT_INTERVAL
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import Session
from fleet_agent.statedir.lock import ensure_writable

if TYPE_CHECKING:
    from fleet_agent.provisioning.runner import Provisioned

_log = logging.getLogger(__name__)

# Seconds for a last connection to the old account, which may be unreachable.
_ANNOUNCE_LIMIT = 10.0


class Requests:
    """Carries out requests to the process.

    Args:
        settings: Those in use.
        read: Reads them again; called in a worker, so it must be picklable.
        store: Keeps the credential.
        mailbox: Where a rotation's events come in.
        orders: Learns how a rotation went.
        health: Where problems go.
        report: Reports a rotation's steps.
        worker: Calls what the daemon does not import itself.
        put_in_service: Puts a credential in service, with the session that proved it, or None.
    """

    def __init__(  # noqa: PLR0913 - of the composition, all named
        self,
        *,
        settings: Settings,
        read: Callable[[], StartOptions],
        store: Store,
        mailbox: Mailbox,
        orders: Orders,
        health: Health,
        report: Report,
        worker: Worker,
        put_in_service: Callable[[Credential, Session | None], Serving],
    ) -> None:
        self._settings = settings
        self._read = read
        self._store = store
        self._mailbox = mailbox
        self._orders = orders
        self._health = health
        self._report = report
        self._worker = worker
        self._put_in_service = put_in_service
        self.reloaded: StartOptions | None = None  # what was read for the next image

    # Reload -----------------------------------------------------------------------------------------------------------

    def reload(self) -> Ending | None:
        """Checks the new configuration; one that would not work is reported, and nothing changes."""
        try:
            self.reloaded = self._worker.call(check_reload, self._read, self._settings)
        except AgentError as error:
            self._keep(error)
            return None
        finally:
            self._worker.close()
        return Ending.RELOAD

    def _keep(self, error: AgentError) -> None:
        first = error.problems[:1] if isinstance(error, ConfigurationError) else ()
        words = " ".join([error.title, *(line.strip() for line in first)])
        title = f"{table.CONFIGURATION.title} {words}"
        fields = log.fields(Moment.PROBLEM, problem=table.CONFIGURATION.code)
        _log.error("%s %s", title, error.remedy, extra=fields)
        self._health.report(table.CONFIGURATION.problem(title, error.remedy))

    # Rotate -----------------------------------------------------------------------------------------------------------

    def rotate(self, before: Serving) -> Serving | Ending:
        """Replaces the credential, or moves the device; the session of the old one is closed already.

        Returns:
            What is in service from now on; an ending where topics change, which takes a new image of the process.
        """
        if (name := self._destination()) is not None:
            return self._move(name, before)
        self._health.set_activity("rotating")
        done = within(
            rotate.LIMIT,
            lambda mailbox: rotate.replace(self._settings, self._store, mailbox, self._report),
            self._mailbox,
            "the rotation stopped",
        )
        if isinstance(done, AgentError):
            return self._failed(before.credential, done, table.ROTATION_FAILED)
        self._health.clear(table.ROTATION_FAILED)
        self._health.clear(table.MOVE_FAILED)
        return self._replaced(before, done, "rotated", Moment.ROTATED)

    def recover(self, before: Serving) -> Serving | Ending:
        """Asks by the claim for a certificate in place of a dead one, whose session is closed already.

        Returns:
            As ``rotate``.
        """
        from fleet_agent.identity import recover

        self._health.set_activity("requesting a new certificate")
        clock = self._health.clock
        done = recover.attempt(
            self._settings, self._store, before.credential, self._mailbox, self._report, clock
        )
        if isinstance(done, AgentError):
            # The session of the proof had the same client id.
            self._mailbox.sleep(CONNECT_INTERVAL)
            return self._serve(before.credential, None)
        self._health.clear(table.IDENTITY_DEAD)
        self._health.clear(table.OFFLINE)
        return self._replaced(before, done, "recovered", Moment.RECOVERED)

    def _replaced(
        self, before: Serving, done: "Provisioned", words: str, moment: Moment
    ) -> Serving | Ending:
        """Puts the new credential in service, with the session that proved it."""
        credential = done.credential
        log.about(certificate_id=credential.certificate_id)
        _log.info(
            "%s: certificate %s is in use",
            words,
            credential.certificate_id,
            extra=log.fields(moment),
        )
        self._store.update_ledger()
        if not self._has_same_topics(before.credential, credential):
            if done.session is not None:
                done.session.close()
            _log.info(
                "the topics may have changed, so they are filled in again",
                extra=log.fields(Moment.TOPICS_CHANGED),
            )
            return Ending.RESTART
        self._orders.rotated(credential)
        return self._serve(credential, done.session)

    def _failed(self, credential: Credential, error: AgentError, kind: ProblemKind) -> Serving:
        self._health.record_failed_rotation(error)
        self._health.report(kind.problem(f"{kind.title} {error.title}", error.remedy))
        self._orders.failed(error)
        # The session of the rotation, and the one before it, had the same client id.
        self._mailbox.sleep(CONNECT_INTERVAL)
        return self._serve(credential, None)

    def _serve(self, credential: Credential, session: Session | None) -> Serving:
        # The walk leaves reference cycles behind, which a quiet agent would never collect.
        gc.collect()
        return self._put_in_service(credential, session)

    # Move -------------------------------------------------------------------------------------------------------------

    def _destination(self) -> str | None:
        """The destination that an order, a command or an unfinished move names; None: it is a rotation."""
        if (ordered := self._orders.take_destination()) is not None:
            return ordered
        from fleet_agent.identity import move

        try:
            requested = move.take_request(Path(self._settings.state_dir))
            return requested or move.begun(self._settings, self._store.pending())
        except StateDirectoryError as error:
            _log.warning("%s %s", error.title, error.remedy)
            return None

    def _move(self, name: str, before: Serving) -> Serving | Ending:
        """Gets an identity at a destination and ends for a new image of the process; or stays."""
        from fleet_agent.identity import move

        self._health.set_activity(f"moving to {printable(name.encode())}")
        settings, store, report = self._settings, self._store, self._report
        done = within(
            settings.move.within,
            lambda mailbox: move.walk_to(settings, name, store, mailbox, report),
            self._mailbox,
            f"the move to {name} stopped",
        )
        if isinstance(done, AgentError):
            return self._failed(before.credential, done, table.MOVE_FAILED)
        if done.session is not None:
            done.session.close()
        self._store.update_ledger()
        certificate_id = done.credential.certificate_id
        _log.info(
            "moved to %s: certificate %s is in use",
            name,
            certificate_id,
            extra=log.fields(Moment.MOVED, certificate_id=certificate_id),
        )
        self._announce_move(before.credential)
        return Ending.RESTART

    def _announce_move(self, credential: Credential) -> None:
        """Announces at the old account that the device has moved: to the job that ordered it, and as its presence."""
        from fleet_agent.session.conversation import Conversation

        last = self._orders.moved()
        topics = own_session.topics(self._settings, credential)
        if presence := own_session.presence(self._settings, topics):
            payload = presence.offline.encode()
            last.append(Outgoing(topic=presence.topic, payload=payload, retain=presence.retain))
        if not last:
            return
        pair = self._store.key_pair(credential.generation)
        session = own_session.open_session(self._settings, credential, pair, self._mailbox)
        conversation = Conversation(session, self._mailbox, SystemClock())
        try:
            conversation.start()
            conversation.connect(_ANNOUNCE_LIMIT)
            for message in last:
                conversation.publish(message)
        except AgentError as error:
            _log.warning("the move was not reported to the old account: %s", error.title)
        finally:
            conversation.close()

    def _has_same_topics(self, before: Credential, after: Credential) -> bool:
        """Whether every topic of the configuration is filled in as before."""
        # The certificate's id is another one, if any text of the settings asks for it.
        is_alike = "{certificate_id}" not in repr(self._settings)
        return (
            is_alike
            and before.client_id == after.client_id
            and before.device_configuration == after.device_configuration
        )


def check_reload(read: Callable[[], StartOptions], running: Settings) -> StartOptions:
    """Reads the configuration and tries what a start with it would need; called in a worker.

    Returns:
        What it read: the next image takes that, whatever becomes of the file.

    Raises:
        AgentError: What is wrong with it.
    """
    from fleet_agent.session import tls
    from fleet_agent.session.route import route

    options = read()
    found = options.settings
    if (found.state_dir, found.runtime_dir) != (running.state_dir, running.runtime_dir):
        raise DeviceError(
            "state_dir and runtime_dir cannot change while the agent runs.",
            remedy="Restart it: systemctl restart fleet-agent",
            code=table.CONFIGURATION.code,
        )
    ensure_writable(Path(found.state_dir))
    store = open_store(found)
    credential = in_use(store)
    found = home.at_home(found, credential)
    pair = store.key_pair(credential.generation) if credential else None
    # A hardware token is left alone: a wrong PIN would cost a try.
    if pair is not None and isinstance(pair.private_key, Secret):
        tls.context(route(found), pair)
    return options
