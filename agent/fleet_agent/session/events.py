"""What a session reports: values that its callbacks put into the mailbox. Pure.

Every event carries the session it belongs to, so that a late one of a closed session is recognised (``is``). A reason
code that the SDK does not know is ``reasons.UNKNOWN``. ``reason_string`` and ``error`` are the server's and awscrt's
words for people; the agent acts on codes, ``no_answer`` and ``cause`` alone.
"""

import dataclasses
import enum
from collections.abc import Callable

from fleet_agent.record import mutable, record
from fleet_agent.session.message import Limits


class NoAnswer(enum.Enum):
    """Why a packet was not acknowledged."""

    CUT = "the connection ended before it arrived"
    LATE = "none arrived in time"
    NOT_HERE = "the server announced that it does not accept such a packet"
    IMPOSSIBLE = "the packet can never be sent"
    FAILED = "it failed"


class Cause(enum.Enum):
    """Why a connection did not open, or ended, as far as awscrt knows."""

    OURS = "the agent ended it"
    HANG_UP = "the server closed it without a reason"
    CLOSED = "the server cannot be reached"
    BROKEN_TLS = "the server ended TLS"
    SLOW_TLS = "the TLS handshake did not finish in time"
    LATE = "something else did not arrive in time"
    NO_MQTT_5 = "the server does not speak MQTT 5"
    OTHER = "anything else"


@record
class Connected:
    """CONNACK 0; ``rejoined``: AWS had kept the session and what was queued in it."""

    session: object
    rejoined: bool
    limits: Limits = dataclasses.field(default_factory=Limits)


@record
class ConnectFailed:
    """No CONNACK 0; ``reason_code`` is CONNACK's if there was one."""

    session: object
    reason_code: int | None
    error: str
    reason_string: str = ""
    cause: Cause = Cause.OTHER


@record
class Disconnected:
    """An open connection ended; ``reason_code`` is the server's DISCONNECT's if there was one."""

    session: object
    reason_code: int | None
    error: str
    reason_string: str = ""
    cause: Cause = Cause.OTHER


@record
class CallbackFailed:
    """One of this session's callbacks raised: what it was to report is lost, a new connection brings it again."""

    session: object
    name: str
    error: Exception


@record
class Subscribed:
    """SUBACK: a reason code a filter, in the order asked; empty with ``error`` and ``no_answer`` when none came."""

    session: object
    filters: tuple[str, ...]
    reason_codes: tuple[int, ...]
    error: str
    no_answer: NoAnswer | None = None


# Not a record: there is one a message, and that costs.
@mutable
class Published:
    """PUBACK, or none (``no_answer`` and ``error`` say why); ``tag`` is the publisher's own."""

    session: object
    topic: str
    tag: object
    reason_code: int | None
    error: str
    no_answer: NoAnswer | None = None


@record
class Message:
    """A message arrived. ``acknowledge`` sends its PUBACK: call it once the message is safe, or is not needed."""

    session: object
    topic: str
    # Provisioning's answers hold keys and ownership tokens.
    payload: bytes = dataclasses.field(repr=False)
    response_topic: str | None = None
    correlation_data: bytes | None = None
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    # Retained by AWS: sent because we subscribed, not because somebody published it now.
    retain: bool = False
    qos: int = 1
    # Seconds that it is still of use for; None: for ever.
    expiry: int | None = None
    acknowledge: Callable[[], None] = dataclasses.field(default=lambda: None, repr=False)
