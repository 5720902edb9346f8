"""A provisioned agent, and an operator at the other end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agent import Agent
from support.fleets import Fleet
from support.operators import Operator, operating


@pytest.fixture
def operator(fleet: Fleet, tmp_path: Path) -> Iterator[Operator]:
    with operating(fleet, tmp_path / "operator") as found:
        yield found


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    found = Agent(fleet, tmp_path)
    assert found.provision().status == 0
    return found
