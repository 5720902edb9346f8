"""A rotation and a move killed at a sample of their calls, other ones each time: the old identity or the new, whole."""

import os

import pytest

from crash.matrix import Make, Matrix, sample, with_errors
from crash.move import Move
from crash.rotation import Rotation

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "make"), [("rotation", Rotation), ("move", Move)])
def test_it_survives_a_sample_of_the_points(name: str, make: Make) -> None:
    seed = int(os.environ["CRASH_SEED"])
    with Matrix({name: make}, workers=2, tell=lambda _: None) as matrix:
        points = matrix.points()
        changing = [point for point in points if point.changes]
        chosen = sample(changing, 5, seed) + sample(list(with_errors(points)), 2, seed)
        (tally,) = matrix.run(chosen).values()
    assert not tally.failures, f"CRASH_SEED={seed}\n" + "\n".join(tally.failures)
    assert tally.tried > len(chosen) / 2
