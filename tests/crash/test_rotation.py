"""A rotation killed at a sample of its calls, another one each time: the old identity or the new one, whole."""

import os

import pytest

from crash.matrix import Matrix, sample, with_errors
from crash.rotation import Rotation

pytestmark = pytest.mark.slow


def test_a_rotation_survives_a_sample_of_the_points() -> None:
    seed = int(os.environ["CRASH_SEED"])
    with Matrix({"rotation": Rotation}, workers=2, tell=lambda _: None) as matrix:
        points = matrix.points()
        changing = [point for point in points if point.changes]
        chosen = sample(changing, 5, seed) + sample(list(with_errors(points)), 2, seed)
        (tally,) = matrix.run(chosen).values()
    assert not tally.failures, f"CRASH_SEED={seed}\n" + "\n".join(tally.failures)
    assert tally.tried > len(chosen) / 2
