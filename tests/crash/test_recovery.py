"""An adoption, or the ladder back, killed at a sample of its calls: the old identity or the new one, whole."""

import os
import random
from functools import partial

import pytest

from crash.adoption import Adoption
from crash.matrix import Make, Matrix, sample, with_errors
from crash.recovery import Recovery

pytestmark = pytest.mark.slow

# One of them at a time: to list the points of one takes as long as to try three of them.
KINDS: dict[str, Make] = {
    "adoption": partial(Adoption, again=False),
    "adoption again": partial(Adoption, again=True),
    "recovery": Recovery,
}


def test_a_sample_of_the_points_is_survived() -> None:
    seed = int(os.environ["CRASH_SEED"])
    kind = random.Random(seed).choice(["recovery", *KINDS])
    with Matrix({kind: KINDS[kind]}, workers=2, tell=lambda _: None) as matrix:
        points = matrix.points()
        changing = [point for point in points if point.changes]
        chosen = sample(changing, 5, seed) + sample(list(with_errors(points)), 2, seed)
        (tally,) = matrix.run(chosen).values()
    assert not tally.failures, f"CRASH_SEED={seed}: {kind}\n" + "\n".join(tally.failures)
    assert tally.tried > len(chosen) / 2
