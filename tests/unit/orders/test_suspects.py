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
    suspects.calmed()
    assert not suspects.is_set_aside(message())
