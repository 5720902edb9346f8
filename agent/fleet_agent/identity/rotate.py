"""A new key and certificate for a device that has one: when it is due, and the walk, alone or inside the daemon.

The walk is that of provisioning, over the current credential: what is current is not touched before the new one is
proven, so a rotation that fails anywhere leaves the device with what it had.
"""

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.clock import Clock, passed
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError, NotApprovedError, StateDirectoryError
from fleet_agent.identity import due, home, state_lock
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.due import Due
from fleet_agent.identity.in_use import in_use
from fleet_agent.identity.walk import Request, by_hand, walk
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.provisioning.report import Report
from fleet_agent.statedir.owner import become_owner

if TYPE_CHECKING:
    from fleet_agent.provisioning.runner import Provisioned

_log = logging.getLogger(__name__)

KEPT_FOR = 86400.0  # seconds that a replaced credential is kept for going back
LIMIT = 120.0  # seconds that the daemon is without its session for a rotation, at most


def look(settings: Settings, clock: Clock) -> Due | None:
    """Says whether the current credential is to be replaced; None: there is none.

    Raises:
        DeviceError, StateDirectoryError: It is damaged or cannot be read.
    """
    from fleet_agent.credentials import certificates

    store = open_store(settings)
    credential = in_use(store)
    if credential is None:
        return None
    settings = home.at_home(settings, credential)
    if due.is_begun(store.pending(), settings.endpoint, credential.home):
        return Due(is_due=True, why="A rotation was started but not finished.")
    pair = store.key_pair(credential.generation)
    dates = certificates.validity(pair.certificate, pair.certificate_file)
    return due.judge(settings.rotation, credential, dates, clock.wall())


def rotate(settings: Settings, report: Report, *, timeout: float) -> Credential:
    """Rotates while no agent runs.

    Args:
        settings: Whose provisioning section says what to ask for.
        report: Receives the steps.
        timeout: Seconds; 0 for ever.

    Raises:
        AgentError: What stopped it; ``busy`` with the code ``state-locked`` when an agent runs.
        StopRequested: It was interrupted; asked again, it goes on.
    """
    become_owner(Path(settings.state_dir))
    state_lock.take(settings, allow_volatile=True)
    store = open_store(settings)
    return by_hand(lambda mailbox: replace(settings, store, mailbox, report), timeout)


def replace(settings: Settings, store: Store, mailbox: Mailbox, report: Report) -> "Provisioned":
    """Walks to a new credential over the current one, with no session of this device open.

    Raises:
        AgentError: What stopped it; the current credential is what it was.
        StopRequested: The same, and the agent is to end.
    """
    current = in_use(store)
    if current is None:
        raise no_identity()
    settings = home.at_home(settings, current)
    _refuse_without_means(settings, current)
    pending = store.pending()
    if pending is not None and pending.attempt.tries > 0 and pending.attempt.home != current.home:
        # A move that was begun, and is given up for this.
        store.give_up(pending)
    try:
        return walk(settings, Request(), report, store, mailbox, in_use=current, home=current.home)
    except NotApprovedError as error:
        error.remedy = (
            f"Do the parameters still name {current.client_id} (fleet-agent parameters)? The device must not register "
            f"as another thing. {error.remedy}"
        )
        raise


def _refuse_without_means(settings: Settings, current: Credential) -> None:
    """An adopted identity needs no claim and no template, and a rotation does."""
    if settings.provisioning is None:
        missing = "section `provisioning`, which names the template"
    elif settings.rotation.credential == "claim" and settings.claim is None:
        missing = "section `claim`, which `rotation: {credential: claim}` needs"
    else:
        return
    raise DeviceError(
        f"The identity of {current.client_id} cannot be replaced: the configuration has no {missing}.",
        remedy=f"Add it. The template must name the thing {current.client_id} again, and the device's policy must "
        "allow "
        "a rotation (docs/how-to/rotate.md). Or install another certificate: fleet-agent adopt --force "
        "--cert FILE --key FILE",
        code="rotation-unconfigured",
    )


def no_identity() -> DeviceError:
    """Returns the error for a device without an identity to replace."""
    return DeviceError(
        "This device has no identity to replace.",
        remedy="Provision it: fleet-agent provision",
        code="not-provisioned",
    )


class ReplacedCredential:
    """Removes the replaced credential once the new one has served for a day."""

    def __init__(self, store: Store, credential: Credential, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        served = passed(credential.proven or 0.0, credential.uptime, clock)
        self.due = clock.monotonic() + max(0.0, KEPT_FOR - max(0.0, served))

    def act(self) -> None:
        """Removes the replaced credential after a day."""
        self.due = math.inf
        try:
            self._store.remove_replaced()
        except StateDirectoryError as error:
            _log.warning("%s %s", error.title, error.remedy)
            self.due = self._clock.monotonic() + KEPT_FOR
