"""``fleet-agent reset``: a device, or an image, without an identity; what it leaves in the cloud is named."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.device import fingerprint
from fleet_agent.identity import reset as app
from iot_sandbox.client import FaultClient
from support.agent import COMMAND, Agent, Outcome, run_command, state_dirs
from support.fleets import Fleet

QUEUE = ("telemetry.sqlite3", "telemetry.sqlite3-wal", "telemetry.sqlite3-shm")


@pytest.fixture
def agent(fleet: Fleet, faults: FaultClient, tmp_path: Path) -> Agent:
    del faults  # none left from the test before
    return Agent(fleet, tmp_path)


def reset(agent: Agent, *more: str) -> Outcome:
    return run_command("reset", "--json", "--state-dir", agent.state_dir, *more)


def left(agent: Agent) -> set[str]:
    return {path.name for path in agent.state_dir.rglob("*") if path.is_file()}


def test_reset_and_provision_again(agent: Agent) -> None:
    first = agent.provision().answer["certificate_id"]
    for name in (*QUEUE, "telemetry.sqlite3.damaged", "source-log.json", "first-contact.json"):
        (agent.state_dir / name).touch()
    (agent.state_dir / "orders/restart-1").mkdir(parents=True)
    (agent.state_dir / "orders/restart-1/000000000001.json").touch()
    done = reset(agent, "--yes")
    assert done.status == 0, done.stderr
    assert done.answer["certificate_id"] == first
    assert done.answer["retire"] == [first]
    assert left(agent) == {"lock", "ledger.jsonl"}
    assert not (agent.state_dir / "orders").exists()
    assert agent.ledger() == {first: ["issued", "registered", "current", "retired"]}
    assert agent.status().status == 4
    done = agent.provision()
    assert done.status == 0, done.stderr
    second = done.answer["certificate_id"]
    assert agent.ledger()[first][-1] == "retired"
    assert agent.ledger()[second][-1] == "current"


def test_for_people_it_names_the_command_to_type(agent: Agent) -> None:
    first = agent.provision().answer["certificate_id"]
    done = run_command("reset", "--yes", "--state-dir", agent.state_dir)
    assert (
        f"aws iot update-certificate --new-status INACTIVE --certificate-id {first}" in done.stdout
    )
    assert "devices prune" in done.stdout
    assert f"fleet-cloud devices allow {agent.thing_name} --for 1h --any-key" in done.stdout
    again = run_command("reset", "--yes", "--state-dir", agent.state_dir)
    assert again.status == 0
    assert "contains no identity" in again.stdout


def test_without_yes_it_only_says_what_would_go(agent: Agent) -> None:
    agent.provision()
    before = left(agent)
    done = reset(agent)
    assert (done.status, done.error["code"]) == (2, "not-confirmed")
    assert str(agent.credentials) in done.stderr
    assert "--yes" in done.error["remedy"]
    assert left(agent) == before
    assert agent.current_id() is not None


def test_for_an_image_nothing_of_this_device_stays(agent: Agent, faults: FaultClient) -> None:
    first = agent.provision().answer["certificate_id"]
    second = agent.provision("--force").answer["certificate_id"]
    faults.add("register-thing", "reject", status_code=403)
    assert agent.provision("--force").status == 77
    pending = list(agent.ledger())[-1]
    (agent.state_dir / "telemetry.sqlite3").touch()
    done = reset(agent, "--for-image", "--yes")
    assert done.answer["retire"] == [second, pending, first]
    assert left(agent) == {"lock"}
    machine_id = Path("/etc/machine-id")
    if machine_id.exists() and machine_id.read_text().strip() not in ("", "uninitialized"):
        assert ": > /etc/machine-id" in done.answer["hints"]


def test_the_queue_can_be_kept(agent: Agent) -> None:
    agent.provision()
    (agent.state_dir / "telemetry.sqlite3").write_bytes(b"readings")
    assert reset(agent, "--yes", "--keep-queue").status == 0
    assert (agent.state_dir / "telemetry.sqlite3").read_bytes() == b"readings"


def test_a_damaged_identity_can_be_reset(agent: Agent) -> None:
    first = agent.provision().answer["certificate_id"]
    (agent.credentials / "0001/issued.json").write_text("{")
    (agent.credentials / "current").unlink()
    (agent.credentials / "current").symlink_to("nonsense")
    (agent.credentials / "0001/proven").unlink()
    (agent.credentials / "0001/proven").mkdir()
    (agent.state_dir / "move-to").symlink_to("nowhere")
    done = reset(agent, "--yes")
    assert done.status == 0, done.stderr
    assert done.answer["retire"] == [first]
    assert left(agent) == {"lock", "ledger.jsonl"}
    assert agent.provision().status == 0


def test_what_an_interrupted_reset_left_goes_with_the_next(agent: Agent) -> None:
    agent.provision()
    agent.credentials.rename(agent.state_dir / "credentials.cleared")
    assert agent.provision().status == 0
    assert reset(agent, "--yes").status == 0
    assert left(agent) == {"lock", "ledger.jsonl"}


def test_a_running_agent_is_not_reset(agent: Agent) -> None:
    agent.provision()
    with agent.running() as daemon:
        daemon.wait_connected()
        done = reset(agent, "--yes")
        assert (done.status, done.error["code"]) == (75, "state-locked")
        assert daemon.end() == 0
    assert agent.current_id() is not None


@pytest.mark.parametrize("name", ["credentials/mine", "credentials", "notes"])
def test_the_folder_of_somebody_else_stays_as_it_is(tmp_path: Path, name: str) -> None:
    file = tmp_path / "theirs" / name
    file.parent.mkdir(parents=True)
    file.write_text("[default]\n")
    done = run_command("reset", "--json", "--yes", "--state-dir", tmp_path / "theirs")
    assert done.status == (0 if name == "notes" else 78)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_nothing_there_is_nothing_made(tmp_path: Path) -> None:
    done = run_command("reset", "--json", "--yes", "--state-dir", tmp_path / "state")
    assert done.status == 0
    assert done.answer["removed"] == []
    assert not (tmp_path / "state").exists()


# A copied card --------------------------------------------------------------------------------------------------------


def on(folder: Path, address: str) -> list[str]:
    """The start of a command that sees one network card, with this address, and no other."""
    card = folder / address / "eth0"
    (card / "device").mkdir(parents=True)
    for name, text in (("type", "1"), ("addr_assign_type", "0"), ("address", address)):
        (card / name).write_text(text)
    script = 'mount --bind "$0" /sys/class/net && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(card.parent)]


@pytest.fixture
def copied(agent: Agent, tmp_path: Path) -> Iterator[list[str]]:
    """The start of a command on other hardware than the identity was proven on."""
    first, second = (on(tmp_path, f"dc:a6:32:01:02:0{number}") for number in (3, 4))
    if subprocess.run([*first, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount of our own here")
    assert agent.provision(under=first).status == 0
    record = (agent.state_dir / fingerprint.FILE).read_text()
    assert "dc:a6" not in record
    assert "copied" not in agent.provision(under=first).stderr
    yield second
    state_dirs.append(agent.state_dir)


def test_a_copied_card_is_a_problem_and_goes_on(agent: Agent, copied: list[str]) -> None:
    with agent.running(command=[*copied, str(COMMAND)]) as daemon:
        problem = daemon.wait_for_problem("hardware-changed")
        assert "fleet-agent reset --yes" in problem["remedy"]
        daemon.wait_connected()
        assert daemon.end() == 0
    assert "copied from another device" in agent.provision(under=copied).stderr
    assert "copied" not in agent.provision().stderr  # where nothing can be read, nothing differs


def test_a_copied_card_is_reset_with_care(agent: Agent, copied: list[str]) -> None:
    done = run_command("reset", "--yes", "--state-dir", agent.state_dir, under=copied)
    assert done.status == 0
    assert "its certificate may be in use there" in done.stdout
    # a copied ledger would have the other device's certificate retired
    assert left(agent) == {"lock"}
    assert agent.provision(under=copied).status == 0
    with agent.running(command=[*copied, str(COMMAND)]) as daemon:
        daemon.wait_connected()
        assert daemon.shown()["problems"] == []
        assert daemon.end() == 0


def test_hints_for_an_image(tmp_path: Path) -> None:
    assert app.image_hints(tmp_path) == []
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("uninitialized\n")
    assert app.image_hints(tmp_path) == []
    (tmp_path / "etc/machine-id").write_text("0a" * 16)
    seed = tmp_path / "var/lib/systemd/random-seed"
    seed.parent.mkdir(parents=True)
    seed.touch()
    assert app.image_hints(tmp_path) == [f": > {tmp_path}/etc/machine-id", f"rm {seed}"]
