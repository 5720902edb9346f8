"""The ladder back: an identity that AWS IoT refuses for good is replaced by the claim, for the same thing and key."""

import datetime as dt
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from iot_sandbox.client import FaultClient
from support.adopted import make_pair_of_thing
from support.agent import Agent, Daemon, run_command, until
from support.certificates import make_pair
from support.clock import DAY
from support.faulttable import LADDER, Seen, tell
from support.fleets import Fleet
from support.softhsm import SoftHsm

REGISTER = "register-thing"


@pytest.fixture
def agent(fleet: Fleet, faults: FaultClient, tmp_path: Path) -> Agent:
    del faults
    return Agent(fleet, tmp_path)


def configured(agent: Agent, *, dead_after: str = "2s", **sections: Any) -> Path:
    identity = {"dead_after": dead_after, **sections.pop("identity", {})}
    file = agent.folder / "config.yaml"
    return agent.configuration(file, identity=identity, **sections)


def recovery(agent: Agent) -> dict[str, Any]:
    found = agent.status().answer["recovery"]
    assert isinstance(found, dict)
    return found


def rungs(agent: Agent) -> list[str]:
    return [entry["rung"] for entry in recovery(agent)["history"]]


def public_key(path: Path) -> bytes:
    found = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    return found.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def set_status(agent: Agent, certificate_id: str, status: str) -> None:
    agent.fleet.iot.update_certificate(certificateId=certificate_id, newStatus=status)


def revoked(agent: Agent, faults: FaultClient, *more: str | Path, **kwargs: Any) -> str:
    """A device whose certificate is not good any more; the certificates made are counted from here."""
    done = agent.provision(*more, **kwargs)
    assert done.status == 0, done.stderr
    before = agent.current_id()
    assert before is not None
    set_status(agent, before, "REVOKED")
    faults.clear_calls()
    return before


def wait_back(agent: Agent, daemon: Daemon, before: str, seconds: float = 40.0) -> str:
    daemon.wait_for_line("recovered: certificate", seconds)
    after = agent.current_id()
    assert after is not None
    assert after != before
    return after


def reported(fault: str, minted: int, daemon: Daemon, words: str) -> None:
    """The row of the table: the problem with these words, gone again or not."""

    def titles() -> list[str]:
        shown = [item["title"] for item in daemon.shown().get("problems", ())]
        logged = [
            line.partition(" The agent repeats the request")[0] for line in daemon.log.splitlines()
        ]
        return [text for text in (*shown, *logged) if words in text and "certificate" in text]

    found = until(titles, words, 40)[0]
    tell(Seen(LADDER, fault, None, minted, f"fleet-agent: {found}"))


def change(agent: Agent, **values: object) -> None:
    """Puts something else into recovery.json."""
    path = agent.state_dir / "recovery.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_revoked_certificate_is_replaced_with_the_same_key(
    agent: Agent, faults: FaultClient
) -> None:
    before = revoked(agent, faults)
    with agent.running(config=configured(agent)) as daemon:
        after = wait_back(agent, daemon, before)
        reported(
            "the device's certificate revoked",
            2,
            daemon,
            "the agent requests a new one with the claim",
        )
        until(lambda: daemon.shown()["connected"], "in service")
        assert not daemon.shown()["problems"]
        # The status says so a moment before the log does.
        daemon.wait_connected()
        assert daemon.log.count(f"connected to {agent.fleet.sandbox.endpoint}") == 1
        assert daemon.end() == 0
    assert faults.certificates() == [after]
    old, new = (agent.credentials / name / "certificate.pem.crt" for name in ("0001", "0002"))
    assert public_key(old) == public_key(new)
    assert agent.ledger()[before][-1] == "retired"
    assert rungs(agent) == ["refused", "dead", "asking", "in service"]
    assert agent.status().answer["thing_name"] == agent.thing_name


def test_certificate_that_works_again_is_used_again(agent: Agent, faults: FaultClient) -> None:
    before = revoked(agent, faults)
    faults.add(REGISTER, "reject", calls="every", status_code=403)
    with agent.running(config=configured(agent)) as daemon:
        daemon.wait_for_line("RegisterThing was refused: 403")
        until(lambda: daemon.shown()["doing"] == "waiting for approval", "waiting for approval")
        problem = daemon.wait_for_problem("identity-dead")
        reported("… and the hook denies a new certificate (403)", 2, daemon, "waits for approval")
        assert "devices waiting" in problem["remedy"]
        assert f"devices allow {agent.thing_name}" in problem["remedy"]
        shown = recovery(agent)
        assert (shown["rung"], shown["tries"] >= 1) == ("waiting for approval", True)
        assert (
            "waiting for approval" in run_command("status", "--state-dir", agent.state_dir).stdout
        )
        set_status(agent, before, "ACTIVE")
        until(lambda: daemon.shown()["connected"], "in service", 60)
        until(lambda: not daemon.shown()["problems"], "nothing wrong any more")
        assert daemon.end() == 0
    assert agent.current_id() == before
    answer = agent.status().answer
    assert answer["attempt"] is None
    assert answer["recovery"]["rung"] == "in service"
    assert len(faults.certificates()) == 1
    assert agent.ledger()[faults.certificates()[0]][-1] == "unresolved"


@pytest.mark.thorough  # the next try comes within a minute
def test_approval_that_comes_later(agent: Agent, faults: FaultClient) -> None:
    before = revoked(agent, faults)
    denied = faults.add(REGISTER, "reject", calls="every", status_code=403)
    with agent.running(config=configured(agent)) as daemon:
        until(lambda: "waiting for approval" in daemon.shown().get("doing", ""), "403", 40)
        faults.remove(denied)
        after = wait_back(agent, daemon, before, 90)
    # The certificate of the first try is the one that was approved.
    assert faults.certificates() == [after]


def test_without_a_claim_the_problem_says_what_would_help_and_a_claim_put_there_is_used(
    agent: Agent, faults: FaultClient
) -> None:
    before = revoked(agent, faults)
    claim = agent.folder / "claim"
    given = agent.fleet.claim
    section = {
        "certificate": str(claim / "claim.pem"),
        "private_key": str(claim / "claim.key"),
        "after_success": "delete",
    }
    with agent.running(config=configured(agent, claim=section)) as daemon:
        problem = daemon.wait_for_problem("identity-dead")
        assert "after_success" in problem["title"]
        assert before in problem["title"]
        for words in ("--new-status ACTIVE", "fleet-cloud claim new", "fleet-agent adopt"):
            assert words in problem["remedy"]
        reported("… and there is no claim", 1, daemon, "the device cannot request a new one")
        assert recovery(agent)["rung"] == "dead"
        assert not faults.certificates()
        claim.mkdir()
        shutil.copy(given.private_key, section["private_key"])
        shutil.copy(given.certificate, section["certificate"])
        wait_back(agent, daemon, before, 60)


@pytest.mark.thorough
def test_restart_goes_on_from_the_disk(agent: Agent, faults: FaultClient) -> None:
    before = revoked(agent, faults)
    config = configured(agent, dead_after="30m")
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("closes the connection")
        until(lambda: recovery(agent)["rung"] == "refused", "counted")
        assert daemon.end() == 0
    change(agent, refused_for=1799.0)
    with agent.running(config=config) as daemon:
        wait_back(agent, daemon, before)


def test_one_certificate_a_day_whatever_becomes_of_it(agent: Agent, faults: FaultClient) -> None:
    before = revoked(agent, faults)
    faults.add(REGISTER, "reject", calls="every", status_code=403)
    config = configured(agent)
    with agent.running(config=config) as daemon:
        until(lambda: "waiting for approval" in daemon.shown().get("doing", ""), "403", 40)
        assert daemon.end() == 0
    faults.expire_tokens()
    faults.clear()
    change(agent, wait=1.0)
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("once a day", 40)
        reported(
            "… and the ownership token expired before the hook approved",
            2,
            daemon,
            "requests a new one with the claim: The last",
        )
        until(lambda: recovery(agent)["rung"] == "waiting to ask again", "waiting")
        assert daemon.end() == 0
    assert len(faults.certificates()) == 1
    # A day later.
    asked = json.loads((agent.state_dir / "recovery.json").read_text())["asked"]
    asked["wall"] -= DAY
    asked["uptime"]["monotonic"] = max(0.0, asked["uptime"]["monotonic"] - DAY)
    change(agent, asked={**asked, "uptime": {"boot": "another", "monotonic": 0.0}}, wait=1.0)
    with agent.running(config=config) as daemon:
        wait_back(agent, daemon, before)
    assert len(faults.certificates()) == 2


def test_another_thing_s_name_changes_nothing(agent: Agent, faults: FaultClient) -> None:
    before = revoked(agent, faults)
    provisioning = {
        "template": agent.fleet.template,
        "parameters": {"SerialNumber": f"{agent.serial}other"},
    }
    with agent.running(config=configured(agent, provisioning=provisioning)) as daemon:
        daemon.wait_for_line("it is not used", 40)
        until(lambda: recovery(agent)["rung"] == "waiting to ask again", "waiting")
        reported(
            "… and the template names another thing now",
            2,
            daemon,
            "requests a new one with the claim: The new",
        )
        assert agent.current_id() == before
        waits = json.loads((agent.state_dir / "recovery.json").read_text())["wait"]
        assert waits > DAY
    assert agent.ledger()[faults.certificates()[0]][-1] == "dropped"


def test_key_in_a_token(agent: Agent, tmp_path: Path) -> None:
    hsm = SoftHsm(tmp_path)
    parameters = {"SerialNumber": agent.serial}
    provisioning = {
        "template": agent.fleet.template, "parameters": parameters, "key": hsm.key()
    }  # fmt: skip
    config = configured(agent, provisioning=provisioning)
    done = run_command(
        "provision", "--json", "--config", config, "--allow-volatile", env=hsm.environment
    )
    assert done.status == 0, done.stderr
    before = str(agent.current_id())
    set_status(agent, before, "REVOKED")
    with agent.running(config=config, env=hsm.environment) as daemon:
        wait_back(agent, daemon, before)
        assert daemon.end() == 0
    assert hsm.labels() == ["device"]
    old, new = (agent.credentials / name / "certificate.pem.crt" for name in ("0001", "0002"))
    assert public_key(old) == public_key(new)


def test_adopted_certificate_that_expired_is_replaced_at_once(
    agent: Agent, faults: FaultClient, tmp_path: Path
) -> None:
    fleet, thing = agent.fleet, agent.thing_name
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=12)
    own = make_pair(tmp_path / "own", name=thing, valid_to=ends)
    fleet.iot.create_thing(thingName=thing)
    made = fleet.iot.register_certificate_without_ca(
        certificatePem=own.certificate.read_text(), status="ACTIVE"
    )
    fleet.iot.attach_policy(policyName=fleet.device_policy, target=made["certificateArn"])
    fleet.iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
    pair = {"certificate": str(own.certificate), "private_key": str(own.private_key)}
    config = configured(agent, dead_after="30d", identity=pair)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0
    time.sleep(max(0.0, (ends - dt.datetime.now(dt.UTC)).total_seconds() + 1))
    with agent.running(config=config) as daemon:
        after = wait_back(agent, daemon, made["certificateId"])
        reported("the device's certificate expired", 2, daemon, "has expired")
        # The template gives a device configuration, which the topics may be made of.
        daemon.wait_for_line("the topics may have changed")
        daemon.wait_for_line("restarted in place")
        until(lambda: daemon.shown()["connected"], "in service")
    assert faults.certificates() == [after]
    assert agent.status().answer["origin"] == "claim"
    assert set(fleet.certificate_ids(thing)) == {made["certificateId"], after}


@pytest.mark.thorough
def test_adopted_pair_of_aws_that_was_revoked(
    agent: Agent, faults: FaultClient, tmp_path: Path
) -> None:
    pair = make_pair_of_thing(agent.fleet, tmp_path / "given", agent.serial)
    identity = {
        "certificate": str(pair.certificate),
        "private_key": str(pair.private_key),
        "thing_name": pair.thing_name,
    }
    config = configured(agent, identity=identity)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0
    set_status(agent, pair.certificate_id, "REVOKED")
    faults.clear_calls()
    with agent.running(config=config) as daemon:
        after = wait_back(agent, daemon, pair.certificate_id)
    assert faults.certificates() == [after]


@pytest.mark.parametrize(
    "code", [135, *(pytest.param(code, marks=pytest.mark.thorough) for code in (133, 138))]
)
def test_connack_that_refuses_who_this_is(agent: Agent, faults: FaultClient, code: int) -> None:
    assert agent.provision().status == 0
    before = str(agent.current_id())
    faults.clear_calls()
    number = faults.add(
        "connect", "reject", calls="every", reason_code=code, client_id=agent.thing_name
    )
    with agent.running(config=configured(agent)) as daemon:
        # Proven under the same client id: the fault goes once it is asked.
        until(faults.certificates, "asked", 40)
        faults.remove(number)
        wait_back(agent, daemon, before)


@pytest.mark.parametrize(
    "code", [151, *(pytest.param(code, marks=pytest.mark.thorough) for code in (136, 144))]
)
def test_connack_of_another_kind_is_no_verdict(
    agent: Agent, faults: FaultClient, code: int
) -> None:
    assert agent.provision().status == 0
    faults.clear_calls()
    faults.add("connect", "reject", calls="every", reason_code=code, client_id=agent.thing_name)
    with agent.running(config=configured(agent, dead_after="1s")) as daemon:
        daemon.wait_for_problem("offline")
        time.sleep(4)
        assert not faults.certificates()
        assert agent.status().answer["recovery"] is None
