"""The pace against a second that is moved over all that was sent."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.telemetry.pace import Pace
from fleet_agent.telemetry.reading import MAX_PAYLOAD

LIMIT = 512 * 1024
PUBLISHES = 100


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(1, 1000), st.integers(1, MAX_PAYLOAD), st.just(MAX_PAYLOAD)),
            st.one_of(st.just(0.0), st.floats(0, 0.5)),
        ),
        min_size=1,
        max_size=300,
    )
)
def test_no_second_holds_more_than_the_limits(messages: list[tuple[int, float]]) -> None:
    pace = Pace(PUBLISHES, LIMIT)
    now = 1000.0
    sent: list[tuple[float, int]] = []
    for size, pause in messages:
        now += pause
        while wait := pace.wait(now):
            now += wait
        pace.spend(now, size)
        sent.append((now, size))
    for start, _ in sent:
        second = [size for at, size in sent if start <= at < start + 1]
        assert len(second) <= PUBLISHES
        assert sum(second) <= LIMIT


def test_it_is_not_much_slower_than_the_limits() -> None:
    for size, least in ((100, 0.88 * PUBLISHES), (32 * 1024, 0.7 * LIMIT / (32 * 1024))):
        pace, now, count = Pace(PUBLISHES, LIMIT), 0.0, 0
        while now < 20:
            if wait := pace.wait(now):
                now += wait
            else:
                pace.spend(now, size)
                count += 1
        assert count / 20 >= least


def test_without_limits_it_never_waits() -> None:
    pace = Pace(0, 0)
    for _ in range(1000):
        pace.spend(0.0, MAX_PAYLOAD)
    assert pace.wait(0.0) == 0
