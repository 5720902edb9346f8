"""What provisioning works with: everything of it that the composition root makes."""

import dataclasses
from collections.abc import Callable

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.credentials.store import Store
from fleet_agent.mailbox import Mailbox
from fleet_agent.provisioning.proof import Trial
from fleet_agent.provisioning.report import Report
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import Route


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What the runner works with, the plan apart.

    ``open_session`` makes the device's own session, and ``trial`` is what it is tried with: the proof.
    ``outlasts_refusal``: on a bench a refusal ends the command, so that it can be mended at once; a daemon waits for
    the cloud to change. ``client_id``: of a device that rotates under its own credential instead of a claim.
    """

    route: Route
    outlasts_refusal: bool
    store: Store
    mailbox: Mailbox
    clock: Clock
    report: Report
    jitter: Callable[[], float]
    read_claim: Callable[[], KeyPair]
    open_session: Callable[[Credential, KeyPair], Session]
    trial: Trial
    client_id: str | None = None
