import contextlib
import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.clock import BUILT
from fleet_agent.credentials.model import Generation
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.provisioning import spread
from support.clock import FakeClock
from support.walks import ATTEMPT, issued

WINDOW = 1000.0


class Waiting(Mailbox):
    """A mailbox in which time passes at once; the power can fail."""

    def __init__(
        self, clock: FakeClock, cut_after: float = 1e9, set_clock_after: float = 1e9
    ) -> None:
        super().__init__(clock)
        self.device = clock
        self.slept = 0.0
        self.cut_after = cut_after
        self.set_clock_after = set_clock_after

    def sleep(self, seconds: float) -> None:
        passes = min(seconds, self.cut_after - self.slept)
        self.device.go(passes)
        self.slept += passes
        if self.slept >= self.set_clock_after and self.device.now < 1e9:
            self.device.now = 1.8e9
        if self.slept >= self.cut_after:
            raise PowerCutError


class PowerCutError(Exception):
    """It is dark."""


def start(tmp_path: Path, clock: FakeClock, **events: float) -> float:
    """One start of the agent; the seconds it waited."""
    mailbox = Waiting(clock, **events)
    with contextlib.suppress(PowerCutError):
        spread.await_turn(WINDOW, tmp_path, clock, mailbox)
    return mailbox.slept


def moment(tmp_path: Path) -> float:
    return float(json.loads((tmp_path / spread.FILE).read_text())["not_before"])


def test_no_window_is_no_wait_and_no_file(tmp_path: Path) -> None:
    clock = FakeClock()
    spread.await_turn(0.0, tmp_path, clock, Waiting(clock))
    assert list(tmp_path.iterdir()) == []


def test_power_cuts_on_the_way_do_not_move_the_moment(tmp_path: Path) -> None:
    clock = FakeClock()
    start(tmp_path, clock, cut_after=0.0)
    planned = moment(tmp_path)
    while planned - clock.now > 3.0:
        clock.go(1.0)  # in the dark
        start(tmp_path, clock, cut_after=(planned - clock.now) / 2)
        assert moment(tmp_path) == planned
    start(tmp_path, clock)
    assert abs(clock.now - planned) < 1e-3


def test_a_moment_missed_in_the_dark_is_drawn_again(tmp_path: Path) -> None:
    clock = FakeClock()
    start(tmp_path, clock, cut_after=0.0)
    missed = moment(tmp_path)
    clock.now = missed + 50.0
    start(tmp_path, clock)
    assert missed + 50.0 <= moment(tmp_path) <= missed + 50.0 + 100.0
    assert clock.now >= moment(tmp_path) - 1e-3


def test_a_moment_drawn_before_the_clock_was_set_is_not_kept(tmp_path: Path) -> None:
    clock = FakeClock(now=40.0)
    waited = start(tmp_path, clock, set_clock_after=5.0)
    if waited > 5.0:  # the first draw may have been shorter than that
        assert 1.8e9 <= moment(tmp_path) <= 1.8e9 + WINDOW
    else:
        assert not (tmp_path / spread.FILE).exists()


def test_a_clock_that_never_comes_is_not_waited_for_longer_than_the_window(tmp_path: Path) -> None:
    clock = FakeClock(now=40.0)
    assert start(tmp_path, clock) <= WINDOW
    assert list(tmp_path.iterdir()) == []


def test_the_moment_is_written_as_other_versions_read_it(tmp_path: Path) -> None:
    start(tmp_path, FakeClock())
    path = tmp_path / spread.FILE
    assert json.loads(path.read_text()) == {"schema": 1, "not_before": moment(tmp_path)}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_window_of_a_second_is_one(tmp_path: Path) -> None:
    clock = FakeClock()
    spread.await_turn(1.0, tmp_path, clock, Waiting(clock))
    assert (tmp_path / spread.FILE).exists()


def test_a_clock_that_shows_the_day_of_the_build_is_set(tmp_path: Path) -> None:
    clock = FakeClock(now=float(BUILT))
    start(tmp_path, clock)
    assert (tmp_path / spread.FILE).exists()


def test_a_clock_that_is_not_set_is_looked_at_every_few_seconds(tmp_path: Path) -> None:
    spans = []

    class Watched(Waiting):
        def sleep(self, seconds: float) -> None:
            spans.append(seconds)
            super().sleep(seconds)

    waited = 0.0
    while waited < 3 * spread.CLOCK_POLL:  # the draw may be a short one
        spans.clear()
        clock = FakeClock(now=40.0)
        spread.await_turn(WINDOW, tmp_path, clock, Watched(clock))
        waited = sum(spans)
    assert set(spans[:-1]) == {spread.CLOCK_POLL}
    assert 0 < spans[-1] <= spread.CLOCK_POLL


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(
    some.binary(max_size=40)
    | some.sampled_from(
        [b'{"not_before": NaN}', b'{"not_before": 1e999}', b'{"not_before": "soon"}', b"null"]
    )
)
def test_whatever_the_file_holds_the_wait_is_within_the_window(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / spread.FILE).write_bytes(content)
    assert 0.0 <= start(tmp_path, FakeClock()) <= WINDOW


def test_who_has_a_certificate_goes_on_at_once() -> None:
    found = Generation(number=1, attempt=ATTEMPT, has_key=True)
    assert spread.is_due(None)
    assert spread.is_due(found)
    assert not spread.is_due(
        Generation(number=1, attempt=ATTEMPT, has_key=True, issued=issued("a"))
    )
