"""What a session sends, what the server grants, and how a session is kept. Pure values."""

import dataclasses

from fleet_agent.record import record


# Not frozen, which would cost two microseconds of fifty that a message takes.
@dataclasses.dataclass(kw_only=True, slots=True)
class Outgoing:
    """A message to publish at QoS 1; ``expiry`` in seconds; ``is_foreign``: somebody else chose its topic."""

    topic: str
    payload: bytes = dataclasses.field(repr=False)
    content_type: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    expiry: int | None = None
    correlation_data: bytes | None = None
    retain: bool = False
    is_foreign: bool = False


@record
class Limits:
    """The server's limits, from its CONNACK; sizes in bytes, times in seconds.

    ``packet`` is the largest packet, ``unacknowledged`` how many messages may be under way, ``expiry`` how long it
    keeps a session whose device is away.
    """

    packet: int | None = None
    unacknowledged: int | None = None
    qos: int = 1
    can_retain: bool = True
    expiry: int | None = None
    keep_alive: int | None = None


@record
class Upkeep:
    """The parameters of a session; ``keep_alive`` and ``expiry`` in seconds. AWS publishes the will when it is lost."""

    keep_alive: int = 120  # AWS allows 30 to 1200, and a NAT on the way often forgets after 300
    expiry: int = 3600  # that AWS keeps messages for a device that is away: its default ceiling
    will: Outgoing | None = None
    # That of awscrt, 10 ms a packet; off for a sender that keeps to AWS's limits by itself.
    flow_control: bool = True
