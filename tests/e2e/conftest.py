"""Every test here runs the installed command; whatever it shows is looked through for secrets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.agent import Agent
from support.consoles import Console
from support.fleets import Fleet, allow_orders, make_fleet
from support.no_secrets import no_secret_is_shown

__all__ = ["no_secret_is_shown"]


@pytest.fixture(scope="module")
def ordered(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A fleet whose devices may take jobs and commands."""
    fleet = make_fleet(sandbox, tmp_path_factory.mktemp("fleet"))
    allow_orders(fleet)
    return fleet


@pytest.fixture
def taking_orders(ordered: Fleet, tmp_path: Path) -> Agent:
    """A device of that fleet, provisioned."""
    found = Agent(ordered, tmp_path)
    assert found.provision().status == 0
    return found


@pytest.fixture
def console(taking_orders: Agent) -> Iterator[Console]:
    """The operator of that device."""
    found = Console(taking_orders)
    yield found
    found.close()
