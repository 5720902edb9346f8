"""What is asked of the running process, and done between two events: read the configuration again, rotate.

Neither ends anything by itself. A reload is an ending once the new configuration is known to work; a rotation leaves
another credential in service, or the one before.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet_agent import log
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.daemon.endings import Ending
from fleet_agent.daemon.serving import Serving
from fleet_agent.daemon.wanted import Wanted
from fleet_agent.errors import AgentError, ConfigurationError, DeviceError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.identity import rotate
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use
from fleet_agent.log import Moment
from fleet_agent.mailbox import Mailbox
from fleet_agent.orders.rotation import Orders
from fleet_agent.programs.aside import Aside
from fleet_agent.provisioning.report import Report
from fleet_agent.session.backoff import CONNECT_INTERVAL
from fleet_agent.session.mqtt import Session

if TYPE_CHECKING:
    from fleet_agent.provisioning.runner import Provisioned

_log = logging.getLogger(__name__)


class Requests:
    """Does what is asked of the process.

    Args:
        settings: As they are in use.
        read: Reads them again; goes to another program, so it must be picklable.
        store: Keeps the credential.
        mailbox: Where a rotation's events come in.
        orders: Hear how a rotation went.
        health: Where problems go.
        report: Hears of a rotation's steps.
        aside: Calls what the daemon is not to carry.
        put_in_service: Makes what a credential needs; with the session that proved it, or None.
    """

    def __init__(  # noqa: PLR0913 - of the composition, all named
        self,
        *,
        settings: Settings,
        read: Callable[[], Wanted],
        store: Store,
        mailbox: Mailbox,
        orders: Orders,
        health: Health,
        report: Report,
        aside: Aside,
        put_in_service: Callable[[Credential, Session | None], Serving],
    ) -> None:
        self._settings = settings
        self._read = read
        self._store = store
        self._mailbox = mailbox
        self._orders = orders
        self._health = health
        self._report = report
        self._aside = aside
        self._put_in_service = put_in_service

    # Reload -----------------------------------------------------------------------------------------------------------

    def reload(self) -> Ending | None:
        """Have the new configuration looked at; what would not work is a problem, and nothing changes."""
        try:
            self._aside.call(check_reload, self._read, self._settings)
        except AgentError as error:
            self._keep(error)
            return None
        finally:
            self._aside.close()
        return Ending.RELOAD

    def _keep(self, error: AgentError) -> None:
        first = error.problems[:1] if isinstance(error, ConfigurationError) else ()
        words = " ".join([error.title, *(line.strip() for line in first)])
        title = (
            f"The new configuration was refused; the agent goes on with the one before. {words}"
        )
        _log.error("%s %s", title, error.remedy)
        self._health.report(table.CONFIGURATION.problem(title, error.remedy))

    # Rotate -----------------------------------------------------------------------------------------------------------

    def rotate(self, before: Serving) -> Serving | Ending:
        """Replace the credential; the session of the one before is closed.

        Returns:
            What is in service from now on; an ending where a new process has to find other topics.
        """
        self._health.set_activity("rotating")
        done = rotate.replace_within(self._settings, self._store, self._mailbox, self._report)
        if isinstance(done, AgentError):
            return self._failed(before.credential, done)
        self._health.clear(table.ROTATION_FAILED)
        return self._replaced(before, done, "rotated", Moment.ROTATED)

    def recover(self, before: Serving) -> Serving | Ending:
        """Ask by the claim for a certificate in place of one that is dead; its session is closed.

        Returns:
            As ``rotate``.
        """
        from fleet_agent.identity import recover

        self._health.set_activity("asking for another certificate")
        clock = self._health.clock
        done = recover.attempt(
            self._settings, self._store, before.credential, self._mailbox, self._report, clock
        )
        if isinstance(done, AgentError):
            # A proof's session had the same client id.
            self._mailbox.sleep(CONNECT_INTERVAL)
            return self._put_in_service(before.credential, None)
        self._health.clear(table.IDENTITY_DEAD)
        self._health.clear(table.OFFLINE)
        return self._replaced(before, done, "back", Moment.RECOVERED)

    def _replaced(
        self, before: Serving, done: "Provisioned", words: str, moment: Moment
    ) -> Serving | Ending:
        """Put the new credential in service, with the session that proved it."""
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
            return Ending.RESTART
        self._orders.rotated(credential)
        return self._put_in_service(credential, done.session)

    def _failed(self, credential: Credential, error: AgentError) -> Serving:
        title = f"The credential was not replaced; the agent goes on with the one before. {error.title}"
        self._health.record_failed_rotation(error)
        self._health.report(table.ROTATION_FAILED.problem(title, error.remedy))
        self._orders.failed(error)
        # The session of the rotation, and the one before it, had the same client id.
        self._mailbox.sleep(CONNECT_INTERVAL)
        return self._put_in_service(credential, None)

    def _has_same_topics(self, before: Credential, after: Credential) -> bool:
        """Whether every topic of the configuration is filled in as before."""
        # The certificate's id is another one, if any text of the settings asks for it.
        is_alike = "{certificate_id}" not in repr(self._settings)
        return (
            is_alike
            and before.client_id == after.client_id
            and before.device_configuration == after.device_configuration
        )


def check_reload(read: Callable[[], Wanted], running: Settings) -> None:
    """Read the configuration and try what a start with it would need; called in a program of its own.

    Raises:
        AgentError: What is wrong with it.
    """
    from fleet_agent.session import tls
    from fleet_agent.session.route import route

    found = read().settings
    if (found.state_dir, found.runtime_dir) != (running.state_dir, running.runtime_dir):
        raise DeviceError(
            "state_dir and runtime_dir cannot change while the agent runs.",
            remedy="Restart it: systemctl restart fleet-agent",
            code=table.CONFIGURATION.code,
        )
    store = open_store(found)
    credential = in_use(store)
    pair = store.key_pair(credential.generation) if credential else None
    # A hardware token is left alone: a wrong PIN would cost a try.
    if pair is not None and isinstance(pair.private_key, Secret):
        tls.context(route(found), pair)
