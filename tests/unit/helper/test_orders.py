"""What is kept of orders: each begun once, its outcome for later, the oldest forgotten."""

import multiprocessing
import os
from pathlib import Path

from fleet_agent_helper.orders import KEPT, Begun, Order, Outcome, boot_id

BEGUN = Begun("show", "u.service", "boot", 5, reboots=False)


def test_one_of_many_begins_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        begun = pool.map(_begin, [str(tmp_path)] * 20)
    assert begun.count(True) == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".order"]


def _begin(folder: str) -> bool:
    return Order(Path(folder), "o").begin(BEGUN)


def test_its_outcome_is_kept_and_unlocked_with_the_process(tmp_path: Path) -> None:
    order = Order(tmp_path, "../../etc/passwd")
    assert (order.begun(), order.outcome()) == (None, None)
    if (child := os.fork()) == 0:
        order.begin(BEGUN)
        order.end(Outcome("done", "", 0, "out", "err"))
        os._exit(0)
    os.waitpid(child, 0)
    assert not order.is_locked()
    assert order.begun() == BEGUN
    assert order.outcome() == Outcome("done", "", 0, "out", "err")
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_while_it_runs_it_is_locked(tmp_path: Path) -> None:
    order = Order(tmp_path, "o")
    assert order.begin(BEGUN)
    assert order.is_locked()
    assert 0 < order.seconds_left(BEGUN) <= BEGUN.seconds


def test_cut_off_writing_is_no_outcome(tmp_path: Path) -> None:
    order = Order(tmp_path, "o")
    order.begin(BEGUN)
    (tmp_path / f"{order.key}.outcome").write_text('{"outcome": "do')
    assert order.outcome() is None


def test_the_oldest_are_forgotten_and_those_that_run_are_not(tmp_path: Path) -> None:
    running = Order(tmp_path, "running")
    running.begin(BEGUN)
    for number in range(KEPT + 10):
        (tmp_path / f"{number}.order").write_text("{}")
        (tmp_path / f"{number}.outcome").write_text("{}")
        os.utime(tmp_path / f"{number}.order", (number + 2e9, number + 2e9))
    Order(tmp_path, "last").begin(BEGUN)
    assert len(list(tmp_path.glob("*.order"))) <= KEPT + 1
    assert running.begun() == BEGUN
    assert not (tmp_path / "0.order").exists()
    assert not (tmp_path / "0.outcome").exists()


def test_many_that_forget_the_same_do_not_fail(tmp_path: Path) -> None:
    for number in range(3 * KEPT):
        (tmp_path / f"{number}.order").write_text("{}")
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        assert (
            pool.starmap(_begin_one, [(str(tmp_path), str(n)) for n in range(8)], 1) == [True] * 8
        )


def _begin_one(folder: str, identifier: str) -> bool:
    return Order(Path(folder), identifier).begin(BEGUN)


def test_a_start_of_the_machine_has_an_id() -> None:
    kernel, first = boot_id().split(".")
    assert len(kernel) == 36
    assert first.isdecimal()
    assert boot_id() == boot_id()
