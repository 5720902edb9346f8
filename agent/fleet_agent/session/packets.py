"""awscrt's packets made of our values, and our values read from awscrt's: the translation that ``mqtt`` needs."""

from collections.abc import Sequence
from typing import Any, TypeVar

from fleet_agent.session import reasons, sdk
from fleet_agent.session.events import Cause, NoAnswer
from fleet_agent.session.message import Limits, Outgoing

# Part of the name of awscrt's error → what it stands for; the first that is found.
_CAUSES = (
    ("USER_REQUESTED_STOP", Cause.OURS),
    ("UNEXPECTED_HANGUP", Cause.HANG_UP),
    ("SOCKET_CLOSED", Cause.CLOSED),
    # The server ended it: after the handshake (TLS 1.3), in it (1.2), or without an alert.
    ("TLS_ERROR_READ_FAILURE", Cause.BROKEN_TLS),
    ("TLS_ERROR_NEGOTIATION_FAILURE", Cause.BROKEN_TLS),
    ("NEGOTIATION_TIMEOUT", Cause.SLOW_TLS),
    ("TIMEOUT", Cause.LATE),
    # Not HTTP's: that is a proxy.
    ("MQTT_PROTOCOL_ERROR", Cause.NO_MQTT_5),
    ("MQTT5_DECODE_PROTOCOL_ERROR", Cause.NO_MQTT_5),
)
_NO_ANSWERS = (
    # The connection ended before the answer came.
    ("OFFLINE_QUEUE_POLICY", NoAnswer.CUT),
    ("USER_REQUESTED_STOP", NoAnswer.CUT),
    ("OPTIONS_VALIDATION", NoAnswer.IMPOSSIBLE),
    ("USER_PROPERTY_VALIDATION", NoAnswer.IMPOSSIBLE),
    ("PACKET_VALIDATION", NoAnswer.NOT_HERE),
    ("TIMEOUT", NoAnswer.LATE),
)
_REFUSED = "AWS_ERROR_MQTT_ACK_REASON_CODE_FAILURE"

_Found = TypeVar("_Found")


class NeverSentError(Exception):
    """awscrt raised ``cause`` when it was given a packet."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def code(value: Any) -> int:  # noqa: ANN401 - awscrt's enum
    """The number of a reason code; awscrt has None for one that it does not know."""
    return reasons.UNKNOWN if value is None else int(value)


def ending(packet: Any) -> tuple[int | None, str]:  # noqa: ANN401
    """The reason code and the reason string of a CONNACK or DISCONNECT; None and nothing where there was none."""
    return (None, "") if packet is None else (code(packet.reason_code), packet.reason_string or "")


def limits(settings: Any) -> Limits:  # noqa: ANN401
    """Returns the limits that client and server agreed on."""
    if settings is None:
        return Limits()
    return Limits(
        packet=settings.maximum_packet_size_to_server or None,
        unacknowledged=settings.receive_maximum_from_server or None,
        qos=1 if settings.maximum_qos is None else int(settings.maximum_qos),
        can_retain=settings.retain_available is not False,
        expiry=settings.session_expiry_interval_sec,
        keep_alive=settings.server_keep_alive_sec or None,
    )


def why(error: BaseException | None) -> NoAnswer | None:
    """Returns why there was no answer, by awscrt's error."""
    if error is None:
        return None
    if isinstance(error, NeverSentError):
        error = error.cause
        if not hasattr(error, "name"):
            # Python's own: a type or a text that does not fit.
            return NoAnswer.IMPOSSIBLE
    return _first(_NO_ANSWERS, error, NoAnswer.FAILED)


def cause(error: BaseException | None) -> Cause:
    """Returns why a connection ended, by awscrt's error."""
    return _first(_CAUSES, error, Cause.OTHER)


def is_refusal(error: BaseException) -> bool:
    """Whether the server acknowledged a packet with a code that is an error."""
    return getattr(error, "name", "") == _REFUSED


def _first(
    table: Sequence[tuple[str, _Found]], error: BaseException | None, otherwise: _Found
) -> _Found:
    name = getattr(error, "name", "")
    return next((found for part, found in table if part in name), otherwise)


def subscription(filters: Sequence[tuple[str, int]]) -> "sdk.mqtt5.SubscribePacket":
    """A SUBSCRIBE for topic filters with their QoS.

    What AWS had kept (retained) comes for a new subscription, not for one that is asked for again on a session that was
    kept: it would be old news with every reconnect.
    """
    # Older SDKs have it by another name.
    handling = getattr(sdk.mqtt5, "RetainHandlingType", None) or sdk.mqtt5.RetainAndHandlingType
    if_new = handling.SEND_ON_SUBSCRIBE_IF_NEW
    return sdk.mqtt5.SubscribePacket(
        subscriptions=[
            sdk.mqtt5.Subscription(name, sdk.mqtt5.QoS(qos), retain_handling_type=if_new)
            for name, qos in filters
        ]
    )


def packet(message: Outgoing) -> "sdk.mqtt5.PublishPacket":
    """A PUBLISH at QoS 1."""
    return sdk.mqtt5.PublishPacket(
        topic=message.topic,
        payload=message.payload,
        qos=sdk.mqtt5.QoS.AT_LEAST_ONCE,
        retain=message.retain,
        content_type=message.content_type,
        message_expiry_interval_sec=message.expiry,
        correlation_data=message.correlation_data,
        user_properties=[
            sdk.mqtt5.UserProperty(name, value) for name, value in message.properties
        ],
    )


def text(error: BaseException | None) -> str:
    """An error in awscrt's words, or nothing."""
    if error is None:
        return ""
    if isinstance(error, NeverSentError):
        error = error.cause
    # What it raises at once is Python's own, with the name in its text.
    name, message = getattr(error, "name", ""), str(getattr(error, "message", error))
    words = f"{name}: {message}" if name else message or type(error).__name__
    return words.rstrip(".")
