"""A sample of the matrix, another one each time, and wrong writers that it must catch."""

import os
import random
from collections.abc import Callable
from functools import partial

import pytest

from crash.matrix import Matrix, Point, sample, with_errors
from crash.provisioning import Provisioning

pytestmark = pytest.mark.slow  # a process or two for each system call

# Two of the ways at a time: to list the points of one takes as long as to try three of them.
KINDS = [("csr", False), ("csr", True), ("keys", False), ("keys", True), ("given", True)]


def test_a_sample_of_the_points_is_survived() -> None:
    seed = int(os.environ["CRASH_SEED"])
    makers = {
        f"{method} {'again' if again else 'first'}": partial(
            Provisioning, method=method, again=again
        )
        for method, again in random.Random(seed).sample(KINDS, 2)
    }
    with Matrix(makers, workers=2, tell=lambda _: None) as matrix:
        points = matrix.points()
        changing = [point for point in points if point.changes]
        chosen = sample(changing, 6, seed) + sample(list(with_errors(points)), 4, seed)
        tallies = matrix.run(chosen).values()
    failures = [failure for tally in tallies for failure in tally.failures]
    assert not failures, f"CRASH_SEED={seed}\n" + "\n".join(failures)
    assert sum(tally.tried for tally in tallies) > len(chosen) / 2


# What each writer does wrong, and whether it takes an identity in use to see it.
CAUGHT_AT: dict[str, tuple[bool, Callable[[Point], bool]]] = {
    "in-place": (False, lambda point: point.name == "write" and "issued.json" in point.where),
    "ledger-last": (
        False,
        lambda point: point.name == "openat" and "ledger.jsonl" in point.where,
    ),
    "two-step-swap": (True, lambda point: point.name == "symlink"),
}


@pytest.mark.parametrize("writer", CAUGHT_AT)
def test_a_wrong_writer_is_caught(writer: str) -> None:
    again, is_telling = CAUGHT_AT[writer]
    make = partial(Provisioning, method="csr", again=again, writer=writer)
    with Matrix({"wrong": make}, workers=1, tell=lambda _: None) as matrix:
        points = [point for point in matrix.points() if is_telling(point)]
        tally = matrix.run(points)["wrong"]
    assert tally.failures, points
