"""When a rotation is due, and when the replaced credential goes."""

import math
from pathlib import Path

from fleet_agent.credentials.store import Store
from fleet_agent.identity import rotate
from support.clock import FakeClock
from support.walks import current, walk


def rotated(tmp_path: Path) -> tuple[Store, FakeClock]:
    clock = FakeClock()
    store = Store(tmp_path, clock)
    walk(store, "a")
    clock.go(50 * 86400)
    walk(store, "b")
    return store, clock


def test_the_replaced_one_goes_after_a_day_of_the_new_one(tmp_path: Path) -> None:
    store, clock = rotated(tmp_path)
    former = rotate.ReplacedCredential(store, current(store), clock)
    assert former.due == clock.monotonic() + rotate.KEPT_FOR
    clock.go(rotate.KEPT_FOR - 60)
    # The day goes on over a restart.
    restarted = rotate.ReplacedCredential(store, current(store), clock)
    assert restarted.due == clock.monotonic() + 60
    assert store.folder(1).is_dir()
    clock.go(60)
    restarted.act()
    assert not store.folder(1).exists()
    assert store.folder(2).is_dir()
    assert restarted.due == math.inf
    assert store.ledger.latest()["c-a"] == "retired"


def test_a_clock_that_went_back_keeps_it_a_day_and_no_longer(tmp_path: Path) -> None:
    store, clock = rotated(tmp_path)
    clock.now -= 30 * 86400
    former = rotate.ReplacedCredential(store, current(store), clock)
    assert former.due == clock.monotonic() + rotate.KEPT_FOR


def test_a_clock_that_jumps_ahead_does_not_shorten_the_day(tmp_path: Path) -> None:
    store, clock = rotated(tmp_path)
    clock.now += 30 * 86400
    former = rotate.ReplacedCredential(store, current(store), clock)
    assert former.due == clock.monotonic() + rotate.KEPT_FOR
    clock.reboot()
    clock.now -= 60 * 86400
    restarted = rotate.ReplacedCredential(store, current(store), clock)
    assert restarted.due <= clock.monotonic() + rotate.KEPT_FOR


def test_the_current_one_and_a_rotation_under_way_stay(tmp_path: Path) -> None:
    store, clock = rotated(tmp_path)
    walk(store, "c", "registered")
    rotate.ReplacedCredential(store, current(store), clock).act()
    assert [store.folder(number).exists() for number in (1, 2, 3)] == [False, True, True]
