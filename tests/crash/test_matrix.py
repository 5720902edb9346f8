"""A sample of the matrix, another one each time, and wrong writers that it must catch."""

import os
import random
from collections.abc import Callable
from functools import partial

import pytest

from crash.fill_queue import ACKNOWLEDGES_FIRST
from crash.give_orders import IN_MEMORY
from crash.matrix import Make, Matrix, Point, sample, with_errors
from crash.orders import Orders
from crash.provisioning import Provisioning
from crash.readings import Readings

pytestmark = pytest.mark.slow  # a process or two for each system call

# One of the ways at a time: to list the points of one takes as long as to try three of them.
KINDS = [("csr", False), ("csr", True), ("keys", False), ("keys", True), ("given", True)]


def test_a_sample_of_the_points_is_survived() -> None:
    seed = int(os.environ["CRASH_SEED"])
    method, again = random.Random(seed).choice(KINDS)
    way = partial(Provisioning, method=method, again=again)
    makers: dict[str, Make] = {"provision": way, "queue": Readings, "orders": Orders}
    with Matrix(makers, workers=2, tell=lambda _: None) as matrix:
        points = matrix.points()
        changing = [point for point in points if point.changes]
        chosen = sample(changing, 6, seed) + sample(list(with_errors(points)), 5, seed)
        tallies = matrix.run(chosen).values()
    failures = [failure for tally in tallies for failure in tally.failures]
    assert not failures, f"CRASH_SEED={seed}: {method}, {again=}\n" + "\n".join(failures)
    assert sum(tally.tried for tally in tallies) > len(chosen) / 2


def over_nothing(writer: str) -> Make:
    return partial(Provisioning, method="csr", again=False, writer=writer)


def over_an_identity(writer: str) -> Make:
    return partial(Provisioning, method="csr", again=True, writer=writer)


def readings(writer: str) -> Make:
    return partial(Readings, writer=writer)


def orders(writer: str) -> Make:
    return partial(Orders, writer=writer)


# Where each does it wrong.
CAUGHT_AT: dict[str, tuple[Callable[[str], Make], str, str]] = {
    "in-place": (over_nothing, "write", "issued.json"),
    "ledger-last": (over_nothing, "openat", "ledger.jsonl"),
    "two-step-swap": (over_an_identity, "symlink", ""),
    ACKNOWLEDGES_FIRST: (readings, "pwrite64", "-wal"),
    IN_MEMORY: (orders, "write", "ids"),
}


@pytest.mark.parametrize("writer", CAUGHT_AT)
def test_a_wrong_writer_is_caught(writer: str) -> None:
    make, name, where = CAUGHT_AT[writer]
    with Matrix({"wrong": make(writer)}, workers=1, tell=lambda _: None) as matrix:
        points = [
            point for point in matrix.points() if point.name == name and where in point.where
        ]
        chosen: list[Point] = sample(points, 6, 0)
        tally = matrix.run(chosen)["wrong"]
    assert tally.failures, chosen
