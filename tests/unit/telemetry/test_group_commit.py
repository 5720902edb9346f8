"""When readings wait for others to share a commit."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.telemetry.group_commit import MOMENT, GroupCommit


class Bench:
    """Commits one after the other, as the loop makes them."""

    def __init__(self) -> None:
        self.sharing = GroupCommit()
        self.now = 1000.0

    def commit(self, *looks: tuple[int, int], every: float = 0.001) -> int:
        """Moments that were waited for; ``looks``: how many there are and were sent on, at first and after each."""
        self.now += every
        for moments, (count, sent_on) in enumerate(looks):
            pause = self.sharing.pause(count, sent_on, self.now)
            if not pause:
                self.sharing.committed(self.now)
                return moments
            assert pause == MOMENT
            self.now += pause
        raise AssertionError("it waits for ever")


STREAM = ((1, 0), (6, 5), (11, 10), (16, 15))
ALONE = ((1, 0), (1, 0))


def test_the_first_reading_and_one_long_after_the_last_are_committed_at_once() -> None:
    bench = Bench()
    assert bench.commit((1, 0)) == 0
    assert bench.commit((1, 0), every=0.021) == 0
    assert bench.commit(*STREAM, every=0.019) == 2


def test_a_stream_waits_for_two_moments_each_time() -> None:
    bench = Bench()
    bench.commit((1, 0))
    assert [bench.commit(*STREAM) for _ in range(10)] == [2] * 10


def test_who_waits_for_each_answer_is_held_up_less_and_less() -> None:
    bench = Bench()
    bench.commit((1, 0))
    waited = [bench.commit(*ALONE) for _ in range(2000)]
    found = [number for number, moments in enumerate(waited) if moments]
    pauses = [later - number - 1 for number, later in itertools.pairwise(found)]
    assert pauses == [1, 3, 7, 15, 31, 63, 127, 255, 256, 256, 256, 256, 256][: len(pauses)]
    assert len(pauses) >= 11
    assert max(waited) == 1


def test_many_programs_that_wait_are_no_stream() -> None:
    bench = Bench()
    bench.commit((1, 0))
    assert bench.commit((1, 0), (4, 0), (9, 0)) == 1
    assert bench.commit((1, 0)) == 0


def test_a_window_of_readings_is_no_stream() -> None:
    bench = Bench()
    bench.commit((1, 0))
    assert bench.commit((8, 7), (8, 7)) == 1
    assert bench.commit((8, 7)) == 0


def test_a_stream_that_ends_in_the_second_moment_is_tried_again() -> None:
    bench = Bench()
    bench.commit((1, 0))
    assert bench.commit((1, 0), (4, 3), (4, 3)) == 2
    assert bench.commit((1, 0)) == 0
    assert bench.commit(*STREAM) == 2


def test_a_stream_ends_the_pauses_of_one_that_waited() -> None:
    bench = Bench()
    bench.commit((1, 0))
    for _ in range(12):
        bench.commit(*ALONE)
    while not bench.commit(*STREAM):
        pass
    assert bench.commit(*ALONE) == 1
    assert [bench.commit(*STREAM) for _ in range(3)] == [0, 2, 2]


def test_what_is_many_waits_for_no_more() -> None:
    bench = Bench()
    bench.commit((1, 0))
    assert bench.commit((128, 127)) == 0
    assert bench.commit((127, 126), (128, 127)) == 1
    assert bench.commit(*STREAM) == 2, "that was not in vain"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 160), min_size=3, max_size=3), st.floats(0.0, 0.05)),
        max_size=60,
    )
)
def test_whatever_comes_nothing_waits_for_more_than_two_moments(
    commits: list[tuple[list[int], float]],
) -> None:
    """So a stream without end holds up no other program's answer, nor an order, for longer."""
    bench = Bench()
    for more, every in commits:
        counts = list(itertools.accumulate(more, initial=1))
        assert bench.commit(*((count, count) for count in counts), every=every) <= 2
