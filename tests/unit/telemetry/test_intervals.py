"""Runs against sets of numbers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.telemetry import intervals


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "first", "last"]), st.integers(0, 30), st.integers(1, 6))
    )
)
def test_runs_are_a_set_of_numbers(steps: list[tuple[str, int, int]]) -> None:
    held: intervals.Intervals = []
    model: set[int] = set()
    for what, number, count in steps:
        if what == "add":
            new = set(range(number, number + count)) - model
            for first, end in intervals.of(sorted(new)):
                intervals.add(held, first, end)
            model |= new
        elif model:
            first, end = intervals.take(held, count, from_end=what == "last")
            taken = set(range(first, end))
            assert 0 < len(taken) <= count
            assert taken <= model
            assert (max(taken) == max(model)) if what == "last" else (min(taken) == min(model))
            model -= taken
        assert {each for first, end in held for each in range(first, end)} == model
        assert list(intervals.of(sorted(model))) == held
        for least in range(40):
            above = [each for each in model if each >= least]
            assert intervals.at_or_after(held, least) == min(above, default=None)
