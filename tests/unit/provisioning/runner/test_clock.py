"""A clock that is not set, or in doubt."""

import pytest

from fleet_agent.errors import (
    DATES,
    UnreachableError,
)
from fleet_agent.provisioning.report import Milestone
from fleet_agent.provisioning.waits import CLOCK_POLL, CLOCK_REPORT_INTERVAL
from support.runners import NOW, Bench, Cloud, lost


def test_a_clock_that_is_not_set_is_waited_for_and_reported_at_intervals(bench: Bench) -> None:
    bench.clock.now = 0.0
    bench.patience = 10_000

    def set_it() -> None:
        if len(bench.slept) == 1 + 2 * int(CLOCK_REPORT_INTERVAL / CLOCK_POLL):
            bench.clock.now = NOW

    bench.meanwhile = set_it
    bench.provision()
    assert set(bench.slept) == {CLOCK_POLL}
    assert len(bench.report.waits) == 3
    assert "Waiting for the clock" in bench.report.waits[0][0]
    assert bench.report.waits[0][1] == CLOCK_POLL
    assert [name for name, _ in bench.report.steps].count(Milestone.CLOCK) == 1


def test_time_is_up_while_the_clock_is_waited_for(bench: Bench) -> None:
    bench.clock.now = 0.0
    assert bench.fails(UnreachableError).code == "clock"


@pytest.mark.parametrize("is_doubtful", [True, False])
def test_dates_that_look_wrong_are_blamed_on_a_doubtful_clock(
    bench: Bench, is_doubtful: bool
) -> None:
    bench.cloud.happens["create"] = [lost(DATES)]

    def make_api(_pair: object) -> Cloud:
        # From the handshake on nobody vouches for it any more.
        bench.clock.synchronised = not is_doubtful
        return bench.cloud

    def set_it() -> None:
        bench.clock.synchronised = True

    bench.more["make_api"] = make_api
    bench.meanwhile = set_it
    bench.provision()
    assert any("clock" in why for why, *_ in bench.report.waits) is is_doubtful
