"""What is held against a clock, and for how long."""

import datetime as dt
import math
from pathlib import Path

import pytest

from fleet_agent.clock import BUILT, FAR_LIMIT, UNVOUCHED_LIMIT
from fleet_agent.credentials.validity import Validity
from fleet_agent.errors import UnreachableError
from fleet_agent.provisioning.clockwatch import STEP, ClockWatch, is_past, looks_valid
from support.certificates import make_pair
from support.clock import FakeClock

NOW = BUILT + 86_400


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def watch(clock: FakeClock) -> ClockWatch:
    return ClockWatch(clock)


def test_a_clock_that_nobody_could_vouch_for_is_tried_with(watch: ClockWatch) -> None:
    assert watch.seconds_left() == 0


def test_1970_is_waited_for_without_end_and_over_when_time_arrives(
    watch: ClockWatch, clock: FakeClock
) -> None:
    clock.now = 0.0
    clock.go(1e6)
    assert watch.seconds_left() == math.inf
    assert "1970" in watch.error().title
    clock.now = NOW
    assert watch.seconds_left() == 0


def test_a_claim_of_tomorrow_says_that_today_is_wrong(watch: ClockWatch, clock: FakeClock) -> None:
    dates = Validity(not_before=NOW + 86_400, not_after=NOW + 2 * 86_400)
    with pytest.raises(
        UnreachableError, match=r"when the certificate in claim\.pem becomes valid"
    ):
        watch.has_expired(dates, "claim.pem")
    assert watch.seconds_left() == math.inf
    assert watch.is_doubtful
    clock.now += 86_400
    assert watch.seconds_left() == 0


def test_a_clock_about_to_be_synchronised_gets_a_minute(
    watch: ClockWatch, clock: FakeClock
) -> None:
    clock.synchronised = False
    assert watch.seconds_left() == UNVOUCHED_LIMIT
    clock.go(UNVOUCHED_LIMIT - 1)
    assert watch.seconds_left() == 1
    clock.go(1)
    assert watch.seconds_left() == 0  # nobody answers: it is tried all the same
    clock.synchronised = True
    assert watch.seconds_left() == 0


def test_2038_is_believed_when_vouched_for_and_tried_with_after_an_hour(
    watch: ClockWatch, clock: FakeClock
) -> None:
    clock.now = 2_150_000_000.0
    assert watch.seconds_left() == FAR_LIMIT
    clock.synchronised = True
    assert watch.seconds_left() == 0
    clock.synchronised = None
    assert watch.seconds_left() == FAR_LIMIT
    clock.go(FAR_LIMIT)
    assert watch.seconds_left() == 0


@pytest.mark.parametrize("heals", ["set", "vouched for", "an hour"])
def test_a_handshake_that_failed_over_dates_is_not_repeated_with_the_same_clock(
    watch: ClockWatch, clock: FakeClock, heals: str
) -> None:
    clock.synchronised = False
    clock.go(UNVOUCHED_LIMIT + watch.seconds_left())
    assert watch.seconds_left() == 0
    assert watch.is_doubtful
    watch.suspect()
    clock.go(600)
    assert watch.seconds_left() == FAR_LIMIT - 600
    assert "it has not been set since" in watch.error().title
    if heals == "set":
        clock.now -= 86_400 / 2
        clock.synchronised = None
    elif heals == "vouched for":
        clock.synchronised = True
    else:
        clock.go(FAR_LIMIT - 600)
    assert watch.seconds_left() == 0


def test_a_clock_that_is_set_by_a_minute_counts_as_unchanged(
    watch: ClockWatch, clock: FakeClock
) -> None:
    for step, is_waited_for in ((STEP, True), (-STEP, True), (STEP + 1, False)):
        clock.now = NOW
        watch.suspect()
        clock.now += step
        assert (watch.seconds_left() > 0) is is_waited_for


def test_the_first_second_of_a_certificate_is_right(watch: ClockWatch, clock: FakeClock) -> None:
    assert not watch.has_expired(Validity(not_before=NOW, not_after=NOW), "claim.crt")
    assert not watch.is_doubtful
    assert watch.seconds_left() == 0
    clock.synchronised = False
    assert watch.seconds_left() > 0
    assert "it has not been synchronised yet" in watch.error().title
    clock.now -= 1
    assert [watch.is_doubtful] == [True]
    assert "cannot be right before" in watch.error().title


def test_valid_from_the_first_second_to_the_last(tmp_path: Path) -> None:
    first = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    last = first + dt.timedelta(days=1)
    made = make_pair(tmp_path / "pair", valid_from=first, valid_to=last)
    pem = made.certificate.read_text()
    for moment, is_valid, is_over in (
        (first.timestamp() - 1, False, False),
        (first.timestamp(), True, False),
        (last.timestamp(), True, False),
        (last.timestamp() + 1, False, True),
    ):
        assert looks_valid(pem, moment) is is_valid
        assert is_past(pem, moment) is is_over
    assert not is_past("", last.timestamp() + 1)


def test_a_glance_at_dates(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    for name, first, last, is_fine in (
        ("now", now - day, now + day, True),
        ("long", now - day, now.replace(year=2070), True),  # GeneralizedTime
        ("old", now - 2 * day, now - day, False),
        ("new", now + day, now + 2 * day, False),
        ("last century", now.replace(year=1999), now - day, False),
    ):
        pair = make_pair(tmp_path / name, valid_from=first, valid_to=last)
        assert looks_valid(pair.certificate.read_text(), now.timestamp()) is is_fine, name
    for text in ("", "-----BEGIN CERTIFICATE-----\n!!\n-----END", "a-----b-----QUJD-----"):
        assert not looks_valid(text, now.timestamp())
