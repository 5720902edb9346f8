"""Going on from what is on disk: tries counted, damage named with a way out that leads out, nothing made twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.client import FaultClient
from support.agent import Agent
from support.fleets import Fleet


@pytest.fixture
def agent(fleet: Fleet, faults: FaultClient, tmp_path: Path) -> Agent:
    del faults  # none left from the test before
    return Agent(fleet, tmp_path)


def attempt(agent: Agent) -> dict[str, Any]:
    """What the only attempt says of itself."""
    (path,) = agent.credentials.glob("*/attempt.json")
    return dict(json.loads(path.read_text()))


def test_every_try_of_one_run_is_counted_on_disk(agent: Agent, faults: FaultClient) -> None:
    faults.add("create-from-csr", "reject", calls="every", status_code=500)
    done = agent.provision("--timeout", "6")
    # The time may end in a wait for the next connection.
    assert done.status in (69, 75), done.stderr
    lines = done.stderr.splitlines()
    asked = sum("was temporarily refused" in line and "Trying again" in line for line in lines)
    assert asked >= 2
    found = attempt(agent)
    assert abs(found["tries"] - asked) <= 1
    assert found["not_before"] > found["opened"]


def test_restarted_again_and_again_it_asks_slower_and_slower(
    agent: Agent, faults: FaultClient
) -> None:
    """A supervisor that starts it again at once, and answers that never come: each run may make a certificate."""
    faults.add("create-from-csr", "close-after", calls="every")
    while (
        minted := len(faults.certificates())
    ) < 2:  # a slow machine may not get so far in one run
        agent.provision("--timeout", "2")
    found = attempt(agent)
    assert found["tries"] >= minted
    path = next(agent.credentials.glob("*/attempt.json"))
    path.write_text(json.dumps({**found, "not_before": found["opened"] + 3600}))
    for _ in range(2):
        done = agent.provision("--timeout", "1")
        assert "the last try was a moment ago" in done.stderr
    assert len(faults.certificates()) == minted


def test_a_clock_that_stepped_back_is_no_reason_to_wait_for_years(
    agent: Agent, faults: FaultClient
) -> None:
    faults.add("create-from-csr", "reject", status_code=400)
    assert agent.provision().status == 78
    path = next(agent.credentials.glob("*/attempt.json"))
    path.write_text(json.dumps({**attempt(agent), "not_before": 4e9}))
    done = agent.provision("--timeout", "1")
    assert "Trying again in 600 s" in done.stderr


def test_a_damaged_identity_is_left_by_force(agent: Agent) -> None:
    first = agent.provision().answer["certificate_id"]
    (agent.credentials / "0001/registration.json").write_text("{")
    done = agent.provision()
    assert done.status == 78
    assert "--force" in done.error["remedy"]
    done = agent.provision("--force")
    assert done.status == 0, done.stderr
    assert agent.current_id() == done.answer["certificate_id"] != first
    assert agent.provision().answer["certificate_id"] == done.answer["certificate_id"]


def test_a_key_that_is_lost_is_named_and_not_replaced(agent: Agent, faults: FaultClient) -> None:
    faults.add("register-thing", "reject", status_code=403)
    assert agent.provision().status == 77
    (agent.credentials / "0001/private.pem.key").unlink()
    done = agent.provision()
    assert (done.status, done.error["code"]) == (78, "state-damaged")
    assert not (agent.credentials / "0001/private.pem.key").exists()
    assert "--restart" in done.error["remedy"]
    assert agent.provision("--restart").status == 0


def test_a_damaged_attempt_beside_a_sound_identity_does_not_stop_the_daemon(agent: Agent) -> None:
    assert agent.provision().status == 0
    folder = agent.credentials / "0002"
    folder.mkdir(mode=0o700)
    (folder / "attempt.json").write_text("{")
    with agent.running() as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0
