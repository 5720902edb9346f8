import pytest
from awscrt import mqtt5

from fleet_agent.session import reasons
from fleet_agent.session.reasons import Kind, Packet

KNOWN = {
    Packet.CONNACK: mqtt5.ConnectReasonCode,
    Packet.SUBACK: mqtt5.SubackReasonCode,
    Packet.PUBACK: mqtt5.PubackReasonCode,
    Packet.DISCONNECT: mqtt5.DisconnectReasonCode,
}


@pytest.mark.parametrize("packet", Packet)
def test_every_code_of_mqtt_5_has_its_own_words(packet: Packet) -> None:
    for code in KNOWN[packet]:
        if code == mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE:
            continue  # a client's word, not a server's
        found = reasons.reason(packet, int(code))
        assert found.name != "unknown reason code"
        assert found.is_failure is (code >= 128)
        assert found.cause
        assert bool(found.remedy) is found.is_failure


@pytest.mark.parametrize("code", [reasons.UNKNOWN, 77, 200, 255])
def test_a_code_that_nobody_knows_is_a_fault_that_may_pass(code: int) -> None:
    found = reasons.reason(Packet.DISCONNECT, code)
    assert (found.kind, found.is_failure) == (Kind.BUSY, True)
    assert "reason code" in reasons.words(Packet.PUBACK, code)


def test_the_reference_page_has_every_row_in_the_order_of_codes() -> None:
    rows = reasons.rows()
    assert [row[:2] for row in rows] == sorted({row[:2] for row in rows})
    shown = {(code, packet): row for code, packet, row in rows}
    for packet in Packet:
        for code in map(int, KNOWN[packet]):
            row = shown.get((code, packet.value)) or shown.get((code, ""))
            # 4 is a client's word, not a server's.
            assert (reasons.reason(packet, code) is row) is (code != 4)


@pytest.mark.parametrize("code", [144, 149, 153, 154, 155])
def test_what_concerns_the_last_will_does_not_blame_the_certificate(code: int) -> None:
    found = reasons.reason(Packet.CONNACK, code)
    assert "connection.presence" in found.remedy
    assert "describe-certificate" not in found.remedy
