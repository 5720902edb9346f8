"""Records are what frozen dataclasses are: held against the real ones."""

import dataclasses
import pickle
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.record import mutable, record


@record
class Pair:
    """A record with each kind of field."""

    name: str
    secret: bytes = dataclasses.field(default=b"", repr=False)
    items: list[int] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        """It is checked when made."""
        if self.name == "wrong":
            raise ValueError(self.name)


@record
class Key:
    """A record that can be hashed."""

    low: int
    high: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """The same, made by dataclasses."""

    name: str
    secret: bytes = dataclasses.field(default=b"", repr=False)
    items: list[int] = dataclasses.field(default_factory=list)


values = st.fixed_dictionaries(
    {"name": st.text(max_size=3).filter(lambda name: name != "wrong")},
    optional={
        "secret": st.binary(max_size=3),
        "items": st.lists(st.integers(0, 3), max_size=2),
    },
)


@given(values, values)
def test_it_is_a_frozen_dataclass(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = Pair(**first), Pair(**second)
    assert dataclasses.asdict(one) == dataclasses.asdict(Peer(**first))
    assert repr(one).removeprefix("Pair") == repr(Peer(**first)).removeprefix("Peer")
    assert (one == other) == (Peer(**first) == Peer(**second))
    assert dataclasses.replace(one, **second) == Pair(**{**first, **second})
    assert pickle.loads(pickle.dumps(one)) == one
    assert not one == cast("object", Peer(**first))  # noqa: SIM201 - what is tested is __eq__


def test_equal_ones_are_found_in_a_set() -> None:
    assert len({Key(low=1, high=2), Key(high=2, low=1), Key(low=2, high=1)}) == 2


def test_a_default_is_made_for_each() -> None:
    assert Pair(name="a").items is not Pair(name="a").items


@pytest.mark.parametrize(
    "given",
    [{}, {"secret": b""}, {"name": "a", "other": 1}, {"nam": "a", "items": [], "secret": b""}],
)
def test_what_is_not_its_fields_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Pair(**given)


def test_it_is_checked_when_made_and_when_changed() -> None:
    with pytest.raises(ValueError, match="wrong"):
        Pair(name="wrong")
    with pytest.raises(ValueError, match="wrong"):
        dataclasses.replace(Pair(name="a"), name="wrong")


def test_nothing_of_it_can_be_changed() -> None:
    pair = Pair(name="a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.name = "b"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del pair.name
    assert pair.name == "a"


@mutable
class Count:
    number: int
    names: list[str] = dataclasses.field(default_factory=list)


def test_what_is_mutable_can_be_changed_is_itself_alone_and_takes_no_other_names() -> None:
    count = Count(3, ["a"])
    assert repr(count) == "Count(number=3, names=['a'])"
    count.number += 1
    assert (count.number, Count(1).names) == (4, [])
    assert Count(1) != Count(1)
    assert len({count, Count(4, ["a"]), count}) == 2
    with pytest.raises(AttributeError):
        count.other = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Count()  # type: ignore[call-arg]
