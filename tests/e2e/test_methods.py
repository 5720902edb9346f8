"""``fleet-agent provision`` done right: by each method, from each kind of key, told and kept as documented."""

import json
import re
import signal
import stat
from pathlib import Path

import pytest

from iot_sandbox.client import FaultClient
from support.agent import STEPS, Agent, run_command, until
from support.claimant import Provisioned
from support.csr import is_key_of, key_pem, make_csr, make_key
from support.fleets import Fleet, make_temporary_claim
from support.mqtt import connected


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    return Agent(fleet, tmp_path)


def assert_usable(agent: Agent) -> None:
    """The files that ``--json`` names open a session as the thing."""
    answer = agent.provision().answer
    files = Path(answer["certificate_file"]), Path(answer["private_key_file"])
    identity = Provisioned(answer["thing_name"], answer["certificate_id"], *files)
    with connected(agent.fleet.sandbox, identity, identity.thing_name) as device:
        assert device.publish(f"dt/{identity.thing_name}/test", {}) == 0


# What it says ---------------------------------------------------------------------------------------------------------


def test_json_has_exactly_the_documented_shape(agent: Agent) -> None:
    done = agent.provision()
    assert done.status == 0, done.stderr
    answer = done.answer
    current = agent.state_dir / "credentials" / "current"
    assert answer == {
        "schema": 1,
        "thing_name": agent.thing_name,
        "certificate_id": answer["certificate_id"],
        "certificate_file": str(current / "certificate.pem.crt"),
        "private_key_file": str(current / "private.pem.key"),
        "device_configuration": {"Location": "unknown"},
        "proven": True,
        "state_dir": str(agent.state_dir),
        "seconds": answer["seconds"],
    }
    assert re.fullmatch("[0-9a-f]{64}", answer["certificate_id"])
    assert 0 < answer["seconds"] < done.seconds
    assert done.stdout.count("\n") == 1


def test_steps_are_told_on_stderr_in_order(agent: Agent) -> None:
    done = agent.provision()
    assert tuple(done.steps) == STEPS


def test_answer_for_people(agent: Agent) -> None:
    done = run_command("provision", *agent.flags(), "--allow-volatile")
    assert done.status == 0, done.stderr
    for words in (
        agent.thing_name,
        "certificate.pem.crt",
        "private.pem.key",
        "Location = unknown",
    ):
        assert words in done.stdout


def test_error_in_json_has_exactly_the_documented_shape(agent: Agent) -> None:
    done = agent.provision(template_name="nosuch")
    assert set(done.answer) == {"schema", "error"}
    assert set(done.error) == {"code", "step", "title", "remedy"}


# What it keeps --------------------------------------------------------------------------------------------------------


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


def test_files_and_their_modes(agent: Agent) -> None:
    assert agent.provision().status == 0
    assert stat.S_IMODE(agent.state_dir.stat().st_mode) == 0o700
    assert modes(agent.state_dir) == {
        "lock": 0o600,
        "ledger.jsonl": 0o600,
        "credentials": 0o700,
        "credentials/0001": 0o700,
        "credentials/0001/attempt.json": 0o600,
        "credentials/0001/private.pem.key": 0o600,
        "credentials/0001/certificate.pem.crt": 0o644,
        "credentials/0001/issued.json": 0o600,
        "credentials/0001/registration.json": 0o600,
        "credentials/0001/proven": 0o600,
    }
    assert str((agent.credentials / "current").readlink()) == "0001"


def test_modes_do_not_depend_on_the_umask(agent: Agent) -> None:
    done = agent.provision(under=["sh", "-c", 'umask 0; exec "$@"', "sh"])
    assert done.status == 0, done.stderr
    found = modes(agent.state_dir)
    assert found["credentials/0001/private.pem.key"] == 0o600
    assert found["credentials"] == 0o700


def test_ownership_token_is_erased(agent: Agent, faults: FaultClient) -> None:
    faults.add("register-thing", "reject", status_code=403)
    assert agent.provision().status == 77
    issued = agent.credentials / "0001" / "issued.json"
    token = json.loads(issued.read_text())["ownership_token"]
    assert token
    assert agent.provision().status == 0
    assert json.loads(issued.read_text())["ownership_token"] is None
    assert all(
        token not in path.read_text() for path in agent.state_dir.rglob("*") if path.is_file()
    )


# Methods and keys -----------------------------------------------------------------------------------------------------


def test_key_made_on_the_device_is_ec_p256(agent: Agent) -> None:
    assert agent.provision().status == 0
    assert "BEGIN PRIVATE KEY" in (agent.credentials / "current/private.pem.key").read_text()
    assert_usable(agent)


def test_key_made_on_the_device_may_be_rsa(agent: Agent) -> None:
    done = agent.provision(key_type="rsa-2048")
    assert done.status == 0, done.stderr
    assert len((agent.credentials / "current/private.pem.key").read_text()) > 1500
    assert_usable(agent)


def test_key_made_by_aws(agent: Agent, faults: FaultClient) -> None:
    done = agent.provision(method="keys")
    assert done.status == 0, done.stderr
    assert tuple(done.steps) == STEPS
    assert faults.calls()["operations"]["create-keys"]["accepted"] == 1
    assert_usable(agent)


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "rsa-2048"])
def test_csr_and_key_made_elsewhere(agent: Agent, tmp_path: Path, kind: str) -> None:
    key = make_key(kind)
    (tmp_path / "device.csr").write_text(make_csr(key))
    (tmp_path / "device.key").write_bytes(key_pem(key))
    done = agent.provision("--csr", tmp_path / "device.csr", "--csr-key", tmp_path / "device.key")
    assert done.status == 0, done.stderr
    assert done.answer["proven"]
    assert is_key_of(key, Path(done.answer["certificate_file"]).read_text())
    assert_usable(agent)


def test_csr_without_its_key_is_kept_and_proven_when_the_key_comes(
    agent: Agent, faults: FaultClient, tmp_path: Path
) -> None:
    key, csr, key_file = make_key(), tmp_path / "device.csr", tmp_path / "device.key"
    csr.write_text(make_csr(key))
    done = agent.provision("--csr", csr)
    assert done.status == 0, done.stderr
    assert done.answer["proven"] is False
    assert done.answer["private_key_file"] is None
    assert done.answer["thing_name"] == agent.thing_name
    assert is_key_of(key, Path(done.answer["certificate_file"]).read_text())
    assert agent.current_id() is None

    again = agent.provision("--csr", csr)
    assert again.status == 0
    assert again.answer["certificate_id"] == done.answer["certificate_id"]

    refused = run_command("run", "--json", *agent.flags(), "--allow-volatile")
    assert refused.status == 78
    assert refused.error["code"] == "key-elsewhere"
    assert "--csr-key" in refused.error["remedy"]

    key_file.write_bytes(key_pem(key))
    proven = agent.provision("--csr", csr, "--csr-key", key_file)
    assert proven.status == 0, proven.stderr
    assert proven.answer["proven"] is True
    assert proven.answer["certificate_id"] == done.answer["certificate_id"]
    assert len(faults.certificates()) == 1
    assert_usable(agent)


# How it is asked ------------------------------------------------------------------------------------------------------


def test_flags_of_the_sdk_sample(agent: Agent, tmp_path: Path) -> None:
    key = make_key()
    (tmp_path / "device.csr").write_text(make_csr(key))
    sample = {"--ca-file": "--ca_file", "--template-name": "--template_name"}
    sample |= {"--template-parameters": "--template_parameters", "--state-dir": "--state_dir"}
    words = [sample.get(word, word) for word in agent.flags()]
    words += ["--csr_file", str(tmp_path / "device.csr"), "--allow-volatile"]
    done = run_command("provision", "--json", *words)
    assert done.status == 0, done.stderr
    assert done.answer["thing_name"] == agent.thing_name


def test_configuration_file_instead_of_flags(agent: Agent, tmp_path: Path) -> None:
    parameters = {"SerialNumber": agent.serial, "DeviceLocation": {"env": "SITE"}}
    provisioning = {"template": agent.fleet.template, "parameters": parameters}
    file = agent.configuration(tmp_path / "config.yaml", provisioning=provisioning)
    site = {"SITE": "Seattle"}
    done = run_command("provision", "--json", "--config", file, "--allow-volatile", env=site)
    assert done.status == 0, done.stderr
    assert done.answer["device_configuration"] == {"Location": "Seattle"}
    again = run_command("provision", "--json", env={"FLEET_AGENT_CONFIG": str(file), "SITE": "x"})
    assert again.status == 0, again.stderr
    assert again.answer["certificate_id"] == done.answer["certificate_id"]


def test_claim_from_the_service_managers_credentials(agent: Agent, tmp_path: Path) -> None:
    claim = agent.fleet.claim
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "claim-cert").write_text(claim.certificate.read_text())
    (folder / "claim-key").write_text(claim.private_key.read_text())
    env = {"CREDENTIALS_DIRECTORY": str(folder)}
    done = agent.provision(cert="credential:claim-cert", key="credential:claim-key", env=env)
    assert done.status == 0, done.stderr


def test_temporary_claim(fleet: Fleet, tmp_path: Path) -> None:
    claim = make_temporary_claim(fleet, tmp_path / "temporary")
    agent = Agent(fleet, tmp_path, cert=claim.certificate, key=claim.private_key)
    done = agent.provision()
    assert done.status == 0, done.stderr


# Killed, and asked again ----------------------------------------------------------------------------------------------


def is_asked_for(faults: FaultClient, operation: str) -> bool:
    """Whether a call came that a fault acts on: provisioning requests are no publishes to it."""
    calls = [call for call in faults.calls()["calls"] if call["operation"] == operation]
    if operation == "publish":
        calls = [call for call in calls if not call["topics"][0].startswith("$aws/")]
    return bool(calls)


@pytest.mark.parametrize(
    ("operation", "kind", "minted"),
    [
        ("connect", "delay", 1),
        ("create-from-csr", "delay", 2),
        ("create-from-csr", "lose-answer", 2),
        ("register-thing", "delay", 1),
        ("register-thing", "lose-answer", 1),
        ("publish", "lose-answer", 1),
    ],
)
def test_killed_and_run_again(
    agent: Agent, faults: FaultClient, operation: str, kind: str, minted: int
) -> None:
    if kind == "delay":
        faults.add(operation, kind, seconds=3)
    else:
        faults.add(operation, kind)
    with agent.running(verb="provision") as first:
        until(lambda: is_asked_for(faults, operation), f"{operation} asked for")
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    done = agent.provision()
    assert done.status == 0, done.stderr
    assert done.answer["proven"]
    assert len(faults.certificates()) == minted
    assert list(agent.ledger()) == [agent.current_id()]  # the other answer never came


@pytest.mark.parametrize(
    "line", ["parameters", "claim session", "certificate", "stored", "registered", "proven"]
)
def test_killed_right_after_a_step(agent: Agent, faults: FaultClient, line: str) -> None:
    with agent.running(verb="provision") as first:
        first.wait_for_line(f" s  {line}")
        first.end(signal.SIGKILL)
    done = agent.provision()
    assert done.status == 0, done.stderr
    assert done.answer["proven"]
    assert len(faults.certificates()) <= 2
    assert set(agent.ledger()) <= set(faults.certificates())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_while_it_waits(agent: Agent, faults: FaultClient, number: int) -> None:
    faults.add("register-thing", "lose-answer")
    with agent.running(verb="provision") as first:
        until(lambda: is_asked_for(faults, "register-thing"), "registration asked for")
        first.end(number)
        assert "Traceback" not in first.log
    done = agent.provision()
    assert done.status == 0, done.stderr
    assert len(faults.certificates()) == 1


# `status` -------------------------------------------------------------------------------------------------------------


def test_status_of_a_device_without_identity(agent: Agent) -> None:
    done = agent.status()
    assert done.status == 4, done.stderr
    assert done.answer["provisioned"] is False
    assert done.answer["attempt"] is None
    assert not agent.state_dir.exists()


def test_status_of_an_attempt_under_way(agent: Agent, faults: FaultClient) -> None:
    faults.add("register-thing", "reject", status_code=403)
    agent.provision()
    done = agent.status()
    assert done.status == 4
    attempt = done.answer["attempt"]
    assert attempt["certificate_id"] in agent.ledger()
    assert attempt["template"] == agent.fleet.template


def test_status_provisioned_and_not_running(agent: Agent) -> None:
    agent.provision()
    done = agent.status()
    assert done.status == 3
    assert done.answer["thing_name"] == agent.thing_name
    assert done.answer["running"] is False
    assert done.stderr == ""


def test_status_of_a_healthy_daemon(agent: Agent) -> None:
    agent.provision()
    with agent.running() as daemon:
        daemon.wait_connected()
        done = agent.status()
        assert done.status == 0
        assert done.answer["running"] is True
        assert done.answer["daemon"]["pid"] == daemon.pid
        assert done.answer["problems"] == []
        assert daemon.end() == 0
    assert agent.status().status == 3


def test_status_of_a_daemon_with_a_problem(agent: Agent) -> None:
    agent.provision()
    with agent.running(telemetry_topic="not/ours") as daemon:
        daemon.wait_for_problem("publish-refused")
        done = agent.status()
        assert done.status == 1
        (problem,) = done.answer["problems"]
        assert "iot:Publish on topic/not/ours" in problem["title"]
        words = run_command("status", "--state-dir", agent.state_dir)
        assert words.status == 1
        assert problem["title"] in words.stdout
        assert problem["remedy"] in words.stdout
