"""Who is suspected of ending the connection, and until when."""

import pytest

from fleet_agent.telemetry.suspects import QUICK, Suspects


@pytest.fixture
def suspects() -> Suspects:
    return Suspects()


def cut(suspects: Suspects, *keys: str, readings: int = 1) -> bool:
    """The connection ends a second after one message of each was sent."""
    return suspects.cut([(key, readings, 100.0) for key in keys], 101.0)


def test_a_connection_that_ends_with_nothing_under_way_is_nobodys_fault(
    suspects: Suspects,
) -> None:
    assert not suspects.cut([], 100.0)
    assert not suspects


@pytest.mark.parametrize(("after", "is_suspected"), [(QUICK, True), (QUICK + 0.1, False)])
def test_only_an_end_soon_after_the_last_message_makes_suspects(
    suspects: Suspects, after: float, is_suspected: bool
) -> None:
    for _ in range(2):
        suspects.cut([("first", 1, 0.0), ("last", 1, 100.0)], 100.0 + after)
    assert list(suspects) == (["first", "last"] if is_suspected else [])


def test_what_was_cut_together_twice_goes_alone_until_as_many_were_answered(
    suspects: Suspects,
) -> None:
    assert not cut(suspects, "a", "a", "b")
    assert suspects
    assert list(suspects) == []
    assert not cut(suspects, "a", "b")
    assert list(suspects) == ["a", "b"]
    assert not suspects.was_alone("a")
    suspects.cleared("a")
    assert list(suspects) == ["a", "b"]
    suspects.cleared("a")
    assert list(suspects) == ["b"]
    suspects.cleared("b")
    assert not suspects
    # Whoever comes after that begins again.
    assert not cut(suspects, "a", "b")
    assert list(suspects) == []


def test_what_was_alone_once_goes_reading_by_reading_until_each_was_answered(
    suspects: Suspects,
) -> None:
    assert not cut(suspects, "a", readings=3)
    assert suspects.was_alone("a")
    assert not suspects.was_alone("b")
    for _ in range(3):
        assert list(suspects) == ["a"]
        suspects.cleared("a")
    assert not suspects


def test_what_was_alone_twice_is_the_culprit_and_so_is_the_next_of_the_same_message(
    suspects: Suspects,
) -> None:
    assert not cut(suspects, "a", readings=3)
    for _ in range(3):
        assert list(suspects) == ["a"]
        assert cut(suspects, "a")
    assert not suspects
    assert not cut(suspects, "a")


def test_an_answer_is_suspected_until_it_was_answered(suspects: Suspects) -> None:
    assert not cut(suspects, "answer", readings=0)
    assert list(suspects) == ["answer"]
    suspects.cleared("answer")
    assert not suspects


def test_one_of_which_nothing_is_left_is_suspected_no_more(suspects: Suspects) -> None:
    cut(suspects, "a")
    suspects.discard("unknown")
    assert list(suspects) == ["a"]
    suspects.discard("a")
    assert not suspects
    assert not suspects.was_alone("a")
