import dataclasses

from fleet_agent.orders.suspects import SOON, TIMES, Suspects
from fleet_agent.session.events import Message


def message(payload: bytes = b"x") -> Message:
    return Message(session=object(), topic="cmd", payload=payload)


def end(suspects: Suspects, *payloads: bytes, after: float = 0.1) -> None:
    """A connection on which these came, and which ended so long after the last of them."""
    for payload in payloads:
        suspects.handled(message(payload), 100.0)
    suspects.ended(100.0 + after)


def test_the_last_message_before_the_end_is_set_aside_the_fourth_time() -> None:
    suspects = Suspects()
    for _ in range(TIMES):
        assert not suspects.is_set_aside(message())
        end(suspects, b"innocent", b"x")
    assert suspects.is_set_aside(message())
    assert not suspects.is_set_aside(message(b"innocent"))


def test_once_the_one_is_set_aside_the_one_before_it_is_the_last() -> None:
    suspects = Suspects()
    for _ in range(TIMES):
        end(suspects, b"a", b"b")
    for _ in range(TIMES):
        end(suspects, b"a")
    assert suspects.is_set_aside(message(b"a"))


def test_an_end_long_after_it_or_a_calm_time_clears_it() -> None:
    suspects = Suspects()
    for _ in range(TIMES):
        end(suspects, b"x", after=SOON + 1)
    assert not suspects.is_set_aside(message())
    for _ in range(TIMES):
        end(suspects, b"x")
    suspects.forget()
    assert not suspects.is_set_aside(message())


def test_of_many_the_one_that_ended_it_last_is_remembered_longest() -> None:
    suspects = Suspects()
    for number in (0, 0, *range(1, 64), 0, 64):
        end(suspects, b"%d" % number)
    assert suspects.is_set_aside(message(b"0"))
    # The 65th had the first of the others forgotten.
    for number, is_known in ((2, True), (1, False)):
        for _ in range(TIMES - 1):
            end(suspects, b"%d" % number)
        assert suspects.is_set_aside(message(b"%d" % number)) is is_known


def test_messages_are_told_apart_by_all_that_comes_again() -> None:
    one = Message(session=object(), topic="cmd", payload=b"x", response_topic="a")
    others = [
        dataclasses.replace(one, topic="other"),
        dataclasses.replace(one, payload=b"y"),
        dataclasses.replace(one, response_topic="b"),
        dataclasses.replace(one, correlation_data=b"c"),
        dataclasses.replace(one, user_properties=(("k", "\ud800"),)),
    ]
    suspects = Suspects()
    for _ in range(TIMES):
        suspects.handled(one, 7.0)
        suspects.ended(7.0 + SOON)
    suspects.ended(7.0)
    assert suspects.is_set_aside(dataclasses.replace(one, session=object()))
    assert not any(suspects.is_set_aside(other) for other in others)
