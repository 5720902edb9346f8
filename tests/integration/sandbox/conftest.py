"""A device under the shared fleet's claim."""

from collections.abc import Iterator

import pytest

from support.claimant import Claimant, serials
from support.fleets import Fleet
from support.mqtt import connected


@pytest.fixture
def claimant(fleet: Fleet) -> Iterator[Claimant]:
    with connected(fleet.sandbox, fleet.claim, f"claim-{next(serials)}") as device:
        yield Claimant(device, fleet)
