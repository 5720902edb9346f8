"""awscrt's values as ours, and ours as awscrt's."""

from types import SimpleNamespace
from typing import Any

import pytest
from awscrt import mqtt5

from fleet_agent.session import packets, reasons
from fleet_agent.session.events import Cause, NoAnswer
from fleet_agent.session.message import Limits, Outgoing
from fleet_agent.session.packets import NeverSentError


class SdkError(Exception):
    """As awscrt raises it."""

    def __init__(self, name: str, message: str = "no UNIX.") -> None:
        super().__init__()
        self.name = name
        self.message = message


def test_a_reason_code_and_its_words() -> None:
    assert packets.code(mqtt5.ConnectReasonCode.NOT_AUTHORIZED) == 135
    assert packets.code(None) == reasons.UNKNOWN
    assert packets.ending(None) == (None, "")
    assert packets.ending(SimpleNamespace(reason_code=135, reason_string="no")) == (135, "no")
    assert packets.ending(SimpleNamespace(reason_code=None, reason_string=None)) == (-1, "")


def settings(**given: Any) -> SimpleNamespace:
    names = (
        "maximum_packet_size_to_server", "receive_maximum_from_server", "maximum_qos",
        "retain_available", "session_expiry_interval_sec", "server_keep_alive_sec",
    )  # fmt: skip
    return SimpleNamespace(**dict.fromkeys(names), **given)


def test_limits_that_the_server_gives_or_does_not() -> None:
    assert packets.limits(None) == Limits()
    assert packets.limits(settings()) == Limits()
    found = packets.limits(
        SimpleNamespace(
            maximum_packet_size_to_server=149_504,
            receive_maximum_from_server=100,
            maximum_qos=mqtt5.QoS.AT_MOST_ONCE,
            retain_available=False,
            session_expiry_interval_sec=3600,
            server_keep_alive_sec=60,
        )
    )
    assert found == Limits(
        packet=149_504, unacknowledged=100, qos=0, can_retain=False, expiry=3600, keep_alive=60
    )
    none = SimpleNamespace(**{**vars(settings()), "maximum_packet_size_to_server": 0})
    assert packets.limits(none).packet is None
    kept = SimpleNamespace(
        **{**vars(settings()), "retain_available": True, "server_keep_alive_sec": 0}
    )
    assert packets.limits(kept) == Limits()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (None, None, ""),
        (SdkError("AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY"), NoAnswer.CUT, None),
        (SdkError("AWS_ERROR_MQTT5_USER_REQUESTED_STOP"), NoAnswer.CUT, None),
        (SdkError("AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION"), NoAnswer.IMPOSSIBLE, None),
        (SdkError("AWS_ERROR_MQTT5_USER_PROPERTY_VALIDATION"), NoAnswer.IMPOSSIBLE, None),
        (SdkError("AWS_ERROR_MQTT5_PACKET_VALIDATION"), NoAnswer.NOT_HERE, None),
        (SdkError("AWS_ERROR_MQTT_TIMEOUT"), NoAnswer.LATE, None),
        (SdkError("AWS_ERROR_SOMETHING"), NoAnswer.FAILED, None),
        (KeyError("x"), NoAnswer.FAILED, "'x'"),
        (ValueError(), NoAnswer.FAILED, "ValueError"),
        (NeverSentError(TypeError("no text.")), NoAnswer.IMPOSSIBLE, "no text"),
        (NeverSentError(SdkError("AWS_ERROR_MQTT5_PACKET_VALIDATION")), NoAnswer.NOT_HERE, None),
    ],
)  # fmt: skip
def test_why_no_answer_came(
    error: BaseException | None, kind: NoAnswer | None, words: str | None
) -> None:
    assert packets.why(error) is kind
    if words is None:
        cause: Any = getattr(error, "cause", error)
        words = f"{cause.name}: no UNIX"
    assert packets.text(error) == words


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("AWS_ERROR_MQTT5_USER_REQUESTED_STOP", Cause.OURS),
        ("AWS_ERROR_MQTT_UNEXPECTED_HANGUP", Cause.HANG_UP),
        ("AWS_IO_SOCKET_CLOSED", Cause.CLOSED),
        ("AWS_IO_TLS_ERROR_READ_FAILURE", Cause.BROKEN_TLS),
        ("AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE", Cause.BROKEN_TLS),
        ("AWS_IO_TLS_NEGOTIATION_TIMEOUT", Cause.SLOW_TLS),
        ("AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT", Cause.LATE),
        ("AWS_ERROR_MQTT_TIMEOUT", Cause.LATE),
        ("AWS_ERROR_MQTT_PROTOCOL_ERROR", Cause.NO_MQTT_5),
        ("AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR", Cause.NO_MQTT_5),
        ("AWS_ERROR_HTTP_PROTOCOL_ERROR", Cause.OTHER),
        ("AWS_ERROR_SOMETHING", Cause.OTHER),
    ],
)
def test_why_a_connection_ended_or_did_not_open(name: str, cause: Cause) -> None:
    assert packets.cause(SdkError(name)) is cause


def test_an_end_that_awscrt_has_no_name_for() -> None:
    # What the text of an error says is no name.
    for error in (None, KeyError("TIMEOUT"), SdkError("AWS_ERROR_X", "TIMEOUT")):
        assert packets.cause(error) is Cause.OTHER


def test_a_packet_that_was_acknowledged_with_an_error() -> None:
    assert packets.is_refusal(SdkError("AWS_ERROR_MQTT_ACK_REASON_CODE_FAILURE"))
    for error in (SdkError("AWS_ERROR_MQTT_TIMEOUT"), KeyError("x")):
        assert not packets.is_refusal(error)


def test_what_was_never_sent_says_why_in_a_traceback() -> None:
    assert str(NeverSentError(ValueError("odd"))) == "odd"


@pytest.mark.parametrize("other", ["RetainHandlingType", "RetainAndHandlingType"])
def test_older_and_newer_sdks_call_it_differently(
    monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.delattr(mqtt5, other)
    (asked,) = packets.subscription([("a", 1)]).subscriptions
    assert asked.retain_handling_type.name == "SEND_ON_SUBSCRIBE_IF_NEW"


def test_what_was_kept_comes_for_a_new_subscription_alone() -> None:
    asked = packets.subscription([("a", 1), ("b/#", 0)]).subscriptions
    assert [(each.topic_filter, int(each.qos)) for each in asked] == [("a", 1), ("b/#", 0)]
    kinds = {each.retain_handling_type.name for each in asked}
    assert kinds == {"SEND_ON_SUBSCRIBE_IF_NEW"}


def test_a_message_is_published_with_all_that_it_has() -> None:
    message = Outgoing(
        topic="a", payload=b"1", content_type="text/plain", properties=(("k", "v"),), expiry=7,
        correlation_data=b"id", retain=True,
    )  # fmt: skip
    made = packets.packet(message)
    assert (made.topic, made.payload, made.qos, made.retain) == (
        "a",
        b"1",
        mqtt5.QoS.AT_LEAST_ONCE,
        True,
    )
    assert (made.content_type, made.message_expiry_interval_sec, made.correlation_data) == (
        "text/plain",
        7,
        b"id",
    )
    assert [(each.name, each.value) for each in made.user_properties] == [("k", "v")]
