"""What the sender of a message is told, where that goes, and until when it is kept."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.orders.answer import JSON, MAX_ANSWER, OTHER, UNDER_WAY, Answers, written
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Outcome, failure
from fleet_agent.session.message import Outgoing


class Sent:
    """What went out, and what was forgotten after it."""

    def __init__(self, *own: str) -> None:
        self.messages: list[Outgoing] = []
        self.ends: list[Callable[[], None]] = []
        self.forgotten: list[int] = []
        self.answers = Answers(self._publish, own)

    def _publish(self, message: Outgoing, on_end: Callable[[], None]) -> None:
        self.messages.append(message)
        self.ends.append(on_end)

    def report(self, number: int, topic: str | None = "answers", data: bytes = b"c") -> None:
        order = Order(payload=b"", response_topic=topic, correlation_data=data)
        self.answers.report("lock", order, Outcome(), lambda: self.forgotten.append(number))


def test_an_answer_is_forgotten_when_aws_has_it() -> None:
    sent = Sent()
    sent.report(1)
    assert sent.messages == [
        Outgoing(
            topic="answers",
            payload=b'{"status": 0}',
            content_type="application/json",
            properties=(("handler", "lock"),),
            correlation_data=b"c",
            is_foreign=True,
        )
    ]
    assert sent.forgotten == []
    sent.ends[0]()
    assert sent.forgotten == [1]


def test_so_many_are_under_way_at_a_time_and_the_others_follow_in_their_order() -> None:
    sent = Sent()
    for number in range(2 * UNDER_WAY):
        sent.report(number)
    assert len(sent.messages) == UNDER_WAY
    for number in range(UNDER_WAY):
        sent.ends[number]()
        assert len(sent.messages) == UNDER_WAY + number + 1
    assert sent.forgotten == list(range(UNDER_WAY))
    for end in sent.ends[UNDER_WAY:]:
        end()
    assert sent.forgotten == list(range(2 * UNDER_WAY))
    assert len(sent.messages) == 2 * UNDER_WAY


@pytest.mark.parametrize(
    ("topic", "data", "why"),
    [
        (None, b"", ""),
        ("$aws/x", b"", "the response topic $aws/x is one of AWS IoT's own"),
        ("dt/a", b"", "the response topic dt/a is one of this device's own"),
        ("a\n", b"", "the response topic a\\n has more than one line"),
        ("a", bytes(65_535), "the response topic a has correlation data of 65535 bytes"),
    ],
)
def test_one_that_goes_nowhere_is_forgotten_at_once_and_says_why(
    topic: str | None, data: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = Sent("dt/+", "presence")
    sent.report(1, topic, data)
    assert (sent.messages, sent.forgotten) == ([], [1])
    assert f"lock: no answer: {why}" in caplog.text if why else not caplog.text
    sent.report(2, "a", bytes(65_534))
    assert len(sent.messages) == 1


# What it says ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome(), {"status": 0}),
        (Outcome(status=3, reason="why"), {"status": 3, "reason": "why"}),
        (failure("busy", "wait\ud800"), {"status": -1, "error": "busy", "reason": "wait?"}),
        (Outcome(stdout=b""), {"status": 0, "stdout": "", "truncated": False}),
        (
            Outcome(stdout=b"\xff", is_cut=True),
            {"status": 0, "stdout": "\ufffd", "truncated": True},
        ),
    ],
)
def test_what_an_answer_says(outcome: Outcome, said: dict[str, object]) -> None:
    payload, content_type = written(outcome)
    assert (json.loads(payload), content_type) == (said, JSON)


@pytest.mark.parametrize(
    ("packet", "content_type"),
    [(b"7", JSON), (b"", OTHER), (b"\xff", OTHER), (b"[" * 100_000, OTHER)],
)
def test_a_programs_own_answer_is_passed_on_as_it_is(packet: bytes, content_type: str) -> None:
    assert written(Outcome(packet=packet, stdout=b"x")) == (packet, content_type)


def test_as_much_of_the_output_is_told_as_a_message_carries() -> None:
    around = len(written(Outcome(stdout=b""))[0])
    room = MAX_ANSWER - around
    # Two bytes each, as they are in UTF-8; in JSON's ASCII they would be six.
    fits = "é" * (room // 2) + "x" * (room % 2)
    whole = json.loads(written(Outcome(stdout=fits.encode()))[0])
    assert whole == {"status": 0, "stdout": fits, "truncated": False}
    cut = json.loads(written(Outcome(stdout=fits.encode() + b"x"))[0])
    assert cut["truncated"]
    assert fits.startswith(cut["stdout"])
    assert len(cut["stdout"]) > len(fits) - 20


@given(st.text(alphabet='\0"\\aé€\U0001f4a9', min_size=1, max_size=8), st.integers(1, 300_000))
def test_whatever_an_output_is_its_answer_fits(text: str, size: int) -> None:
    output = (text * (size // len(text) + 1)).encode()[:size]
    payload, _ = written(Outcome(stdout=output))
    assert len(payload) <= MAX_ANSWER
    said = json.loads(payload)
    shown = output.decode(errors="replace")
    assert said["stdout"] == shown or (said["truncated"] and shown.startswith(said["stdout"]))
