"""What exists for one credential in service: its session, its subscriptions, and what watches over it."""

from collections.abc import Sequence
from typing import Protocol

from fleet_agent.config.subscriptions import Presence
from fleet_agent.credentials.model import Credential
from fleet_agent.daemon.endings import Ending
from fleet_agent.record import record
from fleet_agent.session.connectivity import Connectivity
from fleet_agent.session.mqtt import Session
from fleet_agent.session.subscriptions import Subscriptions


class Actor(Protocol):
    """Something with deadlines."""

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""

    def act(self) -> Ending | None:
        """Called once the deadline has passed; returns an ending when the process has to be replaced."""


@record
class Serving:
    """A credential in service; its session is started, and ``presence`` has its topic filled in."""

    credential: Credential
    session: Session
    subscriptions: Subscriptions
    connectivity: Connectivity
    presence: Presence | None
    chores: Sequence[Actor]
