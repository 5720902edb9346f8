"""Who is suspected of ending the connection, and until when."""

import pytest

from fleet_agent.telemetry.suspects import QUICK, Culprits


@pytest.fixture
def culprits() -> Culprits:
    return Culprits()


def cut(culprits: Culprits, *keys: str, readings: int = 1) -> bool:
    """The connection ends a second after one message of each was sent."""
    return culprits.cut([(key, readings, 100.0) for key in keys], 101.0)


def test_a_connection_that_ends_with_nothing_under_way_is_nobodys_fault(
    culprits: Culprits,
) -> None:
    assert not culprits.cut([], 100.0)
    assert not culprits


@pytest.mark.parametrize(("after", "is_suspected"), [(QUICK, True), (QUICK + 0.1, False)])
def test_only_an_end_soon_after_the_last_message_makes_suspects(
    culprits: Culprits, after: float, is_suspected: bool
) -> None:
    for _ in range(2):
        culprits.cut([("first", 1, 0.0), ("last", 1, 100.0)], 100.0 + after)
    assert list(culprits) == (["first", "last"] if is_suspected else [])


def test_what_was_cut_together_twice_goes_alone_until_as_many_were_answered(
    culprits: Culprits,
) -> None:
    assert not cut(culprits, "a", "a", "b")
    assert culprits
    assert list(culprits) == []
    assert not cut(culprits, "a", "b")
    assert list(culprits) == ["a", "b"]
    assert not culprits.was_alone("a")
    culprits.cleared("a")
    assert list(culprits) == ["a", "b"]
    culprits.cleared("a")
    assert list(culprits) == ["b"]
    culprits.cleared("b")
    assert not culprits
    # Whoever comes after that begins again.
    assert not cut(culprits, "a", "b")
    assert list(culprits) == []


def test_what_was_alone_once_goes_reading_by_reading_until_each_was_answered(
    culprits: Culprits,
) -> None:
    assert not cut(culprits, "a", readings=3)
    assert culprits.was_alone("a")
    assert not culprits.was_alone("b")
    for _ in range(3):
        assert list(culprits) == ["a"]
        culprits.cleared("a")
    assert not culprits


def test_what_was_alone_twice_is_the_culprit_and_so_is_the_next_of_the_same_message(
    culprits: Culprits,
) -> None:
    assert not cut(culprits, "a", readings=3)
    for _ in range(3):
        assert list(culprits) == ["a"]
        assert cut(culprits, "a")
    assert not culprits
    assert not cut(culprits, "a")


def test_an_answer_is_suspected_until_it_was_answered(culprits: Culprits) -> None:
    assert not cut(culprits, "answer", readings=0)
    assert list(culprits) == ["answer"]
    culprits.cleared("answer")
    assert not culprits


def test_one_of_which_nothing_is_left_is_suspected_no_more(culprits: Culprits) -> None:
    cut(culprits, "a")
    culprits.discard("unknown")
    assert list(culprits) == ["a"]
    culprits.discard("a")
    assert not culprits
    assert not culprits.was_alone("a")
