"""A store in a folder of its own."""

from pathlib import Path

import pytest

from fleet_agent.credentials.store import Store
from support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(state_dir: Path, clock: FakeClock) -> Store:
    state_dir.mkdir()
    return Store(state_dir, clock)
