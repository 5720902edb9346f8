"""Readings that share a row: what is put together comes apart as it was, and no more of it than is worth it."""

import itertools
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.telemetry import chunks
from fleet_agent.telemetry.damage import is_damage

Row = tuple[Any, ...]


def row(
    identifier: int, payload: bytes = b"1", time: int = 1, lifetime: float | None = None
) -> Row:
    return (identifier, time, 1, 0, payload, 7, 2, 3.5, lifetime)


def of(count: int, size: int, first: int = 100) -> list[Row]:
    return [row(first + number, bytes(size)) for number in range(count)]


def split(found: list[chunks.Chunk]) -> list[Row]:
    return [each for chunk in found for each in chunks.split(chunk)]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2),
            st.one_of(st.binary(max_size=8), st.integers(0, 70_000).map(bytes)),
            st.integers(1, 2),
            st.sampled_from([None, None, 0.5]),
        ),
        max_size=40,
    )
)
def test_what_is_put_together_comes_apart_as_it_was(drawn: list[Any]) -> None:
    steps = itertools.accumulate(step for step, *_ in drawn)
    rows = [row(at, *rest) for at, (_, *rest) in zip(steps, drawn, strict=True)]
    found = chunks.join(rows)
    assert split(found) == rows
    for chunk in found:
        sizes = chunks.lengths(chunk[-1], len(chunk[4]))
        assert len(sizes) == 1 or (
            len(chunk[4]) + 2 * len(sizes) <= chunks.MOST_BYTES and len(sizes) <= chunks.MOST
        )
        # Any part of one is one again.
        if len(sizes) > 1:
            rows_of = chunks.split(chunk)
            assert len(chunks.join(rows_of[1:])) == len(chunks.join(rows_of[:-1])) == 1


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        (of(1, 200), [1]),
        (of(20, 200), [20]),
        (of(21, 200), [20, 1]),
        (of(300, 1), [256, 44]),
        (of(300, 0), [256, 44]),
        (of(1, 4094), [1]),
        (of(2, 2046), [2]),
        (of(2, 2047), [1, 1]),
        (of(2, 128 * 1024), [1, 1]),
        ([*of(2, 10), *of(2, 10, first=103)], [2, 2]),
        ([row(1), row(2, time=2), row(3, time=2)], [1, 2]),
        ([row(1), row(2, lifetime=5.0)], [1, 1]),
        ([], []),
    ],
)
def test_as_many_as_fit_and_differ_in_nothing_else_share_a_row(
    rows: list[Row], counts: list[int]
) -> None:
    found = chunks.join(rows)
    assert [len(chunks.split(chunk)) for chunk in found] == counts
    assert [chunk[-1] is None for chunk in found] == [count == 1 for count in counts]
    assert split(found) == rows


@pytest.mark.parametrize("sizes", [b"", b"\x01", b"\x01\x00\x02\x00", b"\x02\x00\x02\x00\x01"])
def test_sizes_that_do_not_fit_are_damage(sizes: bytes) -> None:
    (chunk,) = chunks.join([row(1, b"a"), row(2, b"bcd")])
    assert split([chunk])
    with pytest.raises(sqlite3.Error) as caught:
        chunks.split((*chunk[:-1], sizes))
    assert is_damage(caught.value)
