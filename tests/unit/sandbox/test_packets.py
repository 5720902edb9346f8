"""The MQTT bytes the sandbox reads itself."""

import pytest

from iot_sandbox.packets import (
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    read_packet,
    reason_code,
    take_frame,
    with_topic,
)


def text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2) + data


def test_a_connect_names_its_client_whatever_its_version() -> None:
    old = text("MQTT") + b"\x04\x02\x00\x3c" + text("old")
    new = text("MQTT") + b"\x05\x02\x00\x3c" + b"\x05\x11\x00\x00\x00\x0a" + text("new")
    assert read_packet(CONNECT, 0, old, 4).client_id == "old"
    assert read_packet(CONNECT, 0, new, 4).client_id == "new"
    assert read_packet(CONNECT, 0, new, 4).version == 5


def test_a_publish_names_its_topic_and_at_qos_1_its_identifier() -> None:
    assert read_packet(PUBLISH, 0, text("a/b") + b"\x00x", 5).identifier is None
    packet = read_packet(PUBLISH, 0b0010, text("a/ü") + b"\x01\x02\x00x", 5)
    assert packet.topics == ("a/ü",)
    assert packet.identifier == 258


@pytest.mark.parametrize("version", [4, 5])
def test_a_subscribe_names_all_its_filters(version: int) -> None:
    properties = b"\x00" if version == 5 else b""
    body = b"\x00\x07" + properties + text("a/+") + b"\x01" + text("b/#") + b"\x00"
    packet = read_packet(SUBSCRIBE, 2, body, version)
    assert packet.topics == ("a/+", "b/#")
    assert packet.identifier == 7


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CONNECT, b"\x00\x04MQTT"),
        (CONNECT, text("MQTT") + b"\x05\x02\x00\x3c\x09\x00"),
        (CONNECT, text("MQTT") + b"\x04\x02\x00\x3c\x00\x09abc"),
        (PUBLISH, b"\x00\x05abc"),
        (SUBSCRIBE, b"\x00\x07"),
        (SUBSCRIBE, b"\x00\x07\x09\x00"),
        (SUBSCRIBE, b"\x00\x07\x00\x00\x09a"),
    ],
)
def test_a_packet_cut_short_is_a_value_error(kind: int, body: bytes) -> None:
    with pytest.raises(ValueError, match="cut short"):
        read_packet(kind, 0b0010, body, 5)


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        ("20 03 00 87 00", (2, 0x87)),  # CONNACK
        ("40 02 00 01", (4, 0)),  # PUBACK, success left out
        ("40 03 00 01 97", (4, 0x97)),
        ("90 05 00 01 00 01 87", (9, 0x87)),  # SUBACK
        ("d0 00", (13, 0)),  # PINGRESP
    ],
)
def test_an_answer_gives_its_kind_and_reason(packet: str, answer: tuple[int, int]) -> None:
    assert reason_code(bytes.fromhex(packet)) == answer


def test_a_connect_says_its_keep_alive_and_its_will() -> None:
    plain = text("MQTT") + b"\x05\x02\x00\x3c\x00" + text("c")
    packet = read_packet(CONNECT, 0, plain, 4)
    assert (packet.keep_alive, packet.is_clean, packet.will, packet.rest) == (60, True, None, 10)
    with_will = (
        text("MQTT") + b"\x05\x0c\x01\x00\x00" + text("c") + b"\x00" + text("t") + text("m")
    )
    packet = read_packet(CONNECT, 0, with_will, 4)
    assert (packet.keep_alive, packet.is_clean, packet.qos) == (256, False, 1)
    assert with_will[packet.will :] == b"\x00" + text("t") + text("m")


@pytest.mark.parametrize(("flags", "qos", "rest"), [(0, 0, 5), (0b0010, 1, 7), (0b0100, 2, 7)])
def test_a_publish_says_where_it_goes_on(flags: int, qos: int, rest: int) -> None:
    packet = read_packet(PUBLISH, flags, text("a/b") + b"\x01\x02\x00x", 5)
    assert (packet.qos, packet.rest) == (qos, rest)


def test_a_publish_gets_another_topic_and_keeps_the_rest() -> None:
    assert with_topic(text("") + b"\x00\x01rest", "ü/b") == text("ü/b") + b"\x00\x01rest"


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        ("", None),
        ("30", None),
        ("30 80", None),
        ("30 00", (2, 2)),
        ("30 7f 00", (2, 129)),
        ("30 80 01", (3, 131)),
        ("30 ff ff ff 7f", (5, 5 + 268_435_455)),
    ],
)
def test_a_frame_is_known_from_its_header(data: str, frame: tuple[int, int] | None) -> None:
    assert take_frame(bytearray.fromhex(data)) == frame


def test_a_length_of_more_than_four_bytes_is_none() -> None:
    with pytest.raises(ValueError, match="more than four bytes"):
        take_frame(bytearray.fromhex("30 ff ff ff ff"))
