"""A certificate provider signs: certificates of seconds, with the chain of their CA, replaced in time by the daemon."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.credentials.validity import glance
from iot_sandbox.launch import Sandbox, launch
from support.agent import Agent, Daemon, run_command, until
from support.fleets import Fleet, allow_rotation, make_fleet

LIFE = 24  # seconds


@pytest.fixture(scope="module")
def provided() -> Iterator[Sandbox]:
    with launch(arguments=("--certificate-life", str(LIFE), "--certificate-chain")) as sandbox:
        yield sandbox


@pytest.fixture
def rotating(provided: Sandbox, tmp_path: Path) -> Fleet:
    fleet = make_fleet(provided, tmp_path)
    allow_rotation(fleet)
    return fleet


def life(agent: Agent) -> float:
    """Of the certificate in use, in seconds."""
    found = glance((agent.credentials / "current" / "certificate.pem.crt").read_text())
    assert found is not None
    return found.life


def connected(daemon: Daemon, times: int) -> bool:
    return daemon.log.count("connected to") == times


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.thorough)])
def test_the_daemon_replaces_it_before_it_expires(
    rotating: Fleet, tmp_path: Path, times: int
) -> None:
    agent = Agent(rotating, tmp_path)
    done = agent.provision()
    assert done.status == 0, done.stderr
    certificates = (agent.credentials / "current" / "certificate.pem.crt").read_text()
    assert certificates.count("BEGIN CERTIFICATE") == 2, "the CA's is kept, to be shown"
    assert life(agent) < LIFE * 1.1
    config = agent.configuration(tmp_path / "renewed.yaml")
    look = run_command("rotate", "--check", "--json", "--config", config)
    assert (look.status, look.answer["due"]) == (1, False), look.stdout
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        known = {agent.current_id()}
        for number in range(1, times + 1):
            until(lambda: agent.current_id() not in known, "the next one", LIFE)
            known.add(agent.current_id())
            daemon.wait_for_line("rotated:")
            until(functools.partial(connected, daemon, number + 1), "connected again")
        assert not daemon.shown()["problems"]
        assert daemon.end() == 0
    assert len(agent.fleet.certificate_ids(agent.thing_name)) == times + 1
