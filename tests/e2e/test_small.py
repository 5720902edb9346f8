"""Little of everything: what a small board or a strict container grants."""

from pathlib import Path

import pytest

from support.agent import COMMAND, Agent
from support.fleets import Fleet

SMALL = ("prlimit", "--nofile=16", f"--as={128 << 20}", "--")


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    return Agent(fleet, tmp_path)


def test_16_files_and_128_mb_of_addresses_are_enough(agent: Agent) -> None:
    """From the claim to readings; the second start reads a ledger that exists."""
    done = agent.provision(under=SMALL)
    assert done.status == 0, done.stderr
    with agent.running(command=(*SMALL, str(COMMAND))) as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0
