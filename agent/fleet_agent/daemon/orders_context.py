"""What the orders room is built from."""

from collections.abc import Sequence

from fleet_agent.config.settings import Settings
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.credentials.model import Credential
from fleet_agent.files.reserved import Reserved
from fleet_agent.health.status import Health
from fleet_agent.orders.filters import NOWHERE, Moves
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.record import record


@record
class OrdersContext:
    """One configuration with one credential; topics are filled in, and ``own`` has all of this device's topics."""

    settings: Settings
    credential: Credential
    mailbox: Mailbox
    health: Health
    reserved: Reserved
    subscriptions: Sequence[tuple[str, Subscription]]
    own: Sequence[str]
    order_topic: str | None
    moves: Moves = NOWHERE
