"""What an answer, or its lack, calls for and says."""

import pytest

from fleet_agent.session.events import NoAnswer, Published
from fleet_agent.session.message import Outgoing
from fleet_agent.session.reasons import NOT_AUTHORIZED, TOO_LARGE, UNKNOWN
from fleet_agent.telemetry import verdict
from fleet_agent.telemetry.verdict import Verdict
from support.held import Held


def answered(
    code: int | None, no_answer: NoAnswer = NoAnswer.CUT, topic: str = "dt/pump"
) -> Published:
    wire = Held()
    wire.publish(Outgoing(topic=topic, payload=b"1"))
    return wire.answer(0, code, no_answer)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, Verdict.TAKEN),
        (16, Verdict.TAKEN),
        (NOT_AUTHORIZED, Verdict.POLICY),
        (TOO_LARGE, Verdict.LARGE),
        (144, Verdict.NEVER),
        (153, Verdict.NEVER),
        (128, Verdict.LATER),
        (147, Verdict.LATER),
        (151, Verdict.LATER),
        (UNKNOWN, Verdict.LATER),
        (250, Verdict.LATER),
    ],
)
def test_what_a_code_calls_for(code: int, expected: Verdict) -> None:
    assert verdict.judge(answered(code)) is expected


@pytest.mark.parametrize(
    ("no_answer", "expected"),
    [
        (NoAnswer.CUT, Verdict.AGAIN),
        (NoAnswer.LATE, Verdict.LATER),
        (NoAnswer.FAILED, Verdict.LATER),
        (NoAnswer.NOT_HERE, Verdict.LARGE),
        (NoAnswer.IMPOSSIBLE, Verdict.NEVER),
    ],
)
def test_what_no_answer_calls_for(no_answer: NoAnswer, expected: Verdict) -> None:
    assert verdict.judge(answered(None, no_answer)) is expected


@pytest.mark.parametrize(
    ("code", "no_answer", "title", "remedy"),
    [
        (
            151,
            NoAnswer.CUT,
            "AWS IoT did not accept a message on dt/pump: PUBACK 151, quota exceeded (more was",
            "Service Quotas",
        ),
        (
            None,
            NoAnswer.LATE,
            "A message on dt/pump was not acknowledged within 30 s.",
            "fleet-agent doctor",
        ),
        (
            None,
            NoAnswer.IMPOSSIBLE,
            f"A message on dt/pump can never be sent: {NoAnswer.IMPOSSIBLE.value}.",
            "Correct the program that sends it",
        ),
        (
            None,
            NoAnswer.FAILED,
            f"A message on dt/pump was not sent: {NoAnswer.FAILED.value}.",
            "The agent sends it again",
        ),
    ],
)
def test_the_words_for_it(code: int | None, no_answer: NoAnswer, title: str, remedy: str) -> None:
    found = verdict.problem(answered(code, no_answer), "endpoint")
    assert found.title.startswith(title)
    assert remedy in found.remedy
    assert found.code == "publish-refused"


@pytest.mark.parametrize("is_foreign", [True, False])
def test_a_policy_that_does_not_allow_it_is_named_with_its_statement(*, is_foreign: bool) -> None:
    event = answered(NOT_AUTHORIZED)
    found = verdict.problem(event, "a1-ats.iot.eu-west-1.amazonaws.com", is_foreign=is_foreign)
    assert found.title == "The thing's policy does not allow iot:Publish on topic/dt/pump."
    assert ("arn:aws:iot:eu-west-1" in found.remedy) is not is_foreign


@pytest.mark.parametrize("topic", ["dt/\x1b[31m", "dt/\n"])
def test_topics_are_harmless_on_a_terminal(topic: str) -> None:
    for found in (
        verdict.problem(answered(151, topic=topic), ""),
        verdict.problem(answered(None, NoAnswer.LATE, topic=topic), ""),
        verdict.too_large(topic, 5, 4),
        verdict.ended_connection(topic),
    ):
        assert topic not in found.title


@pytest.mark.parametrize(
    ("limit", "words"), [(1000, "accepts 1000 bytes:"), (None, "accepts less:")]
)
def test_what_is_too_large_is_named_with_both_sizes(limit: int | None, words: str) -> None:
    found = verdict.too_large("dt/pump", 5000, limit)
    assert found.title.startswith("A message on dt/pump has 5000 bytes, but the server")
    assert words in found.title
    assert found.code == "publish-refused"
