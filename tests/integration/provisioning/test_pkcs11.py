"""Keys in a hardware token (SoftHSM): made there, found there, used for every session, rotated and destroyed there."""

import json
import signal
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.agent import Agent, Outcome, run_command, until
from support.csr import key_pem, make_csr, make_key
from support.fleets import Fleet, allow_rotation, make_fleet
from support.proxy import Front
from support.softhsm import SoftHsm
from support.swtpm import MODULE, SwTpm, is_installed


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    """A token of the test's own."""
    return SoftHsm(tmp_path)


@pytest.fixture(scope="module")
def rotating(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A fleet whose devices may rotate."""
    fleet = make_fleet(sandbox, tmp_path_factory.mktemp("rotating"))
    allow_rotation(fleet)
    return fleet


@pytest.fixture
def agent(rotating: Fleet, tmp_path: Path) -> Agent:
    """A device of that fleet."""
    return Agent(rotating, tmp_path)


def configured(
    agent: Agent, hsm: SoftHsm, claim: dict[str, str] | None = None, **key: object
) -> Path:
    """A configuration whose key lives in the token."""
    provisioning = {
        "template": agent.fleet.template,
        "parameters": {"SerialNumber": agent.serial},
        "key": hsm.key(**key),
    }
    more = {"claim": claim} if claim else {}
    return agent.configuration(
        agent.folder / "config.yaml", provisioning=provisioning, proxy="none", **more
    )


def run(verb: str, config: Path, hsm: SoftHsm, *more: str | Path) -> Outcome:
    """Runs a command with that configuration."""
    volatile = () if verb == "rotate" else ("--allow-volatile",)
    words = (verb, "--json", "--config", config, *volatile, *more)
    return run_command(*words, env=hsm.environment)


@pytest.mark.parametrize("kind", ["ec-p256", pytest.param("rsa-2048", marks=pytest.mark.slow)])
def test_a_life_in_a_token(agent: Agent, hsm: SoftHsm, kind: str) -> None:
    config = configured(agent, hsm, type=kind)
    done = run("provision", config, hsm)
    assert done.status == 0, done.stderr
    assert done.answer["private_key_file"] == "pkcs11:token=fleet;object=device;type=private"
    assert hsm.labels() == ["device"]
    assert "never extractable" in hsm.tool("-O", "--type", "privkey")
    assert not list(agent.credentials.rglob("private*"))
    with agent.running(config=config, env=hsm.environment) as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0
    rotated = run("rotate", config, hsm, "--force")
    assert rotated.status == 0, rotated.stderr
    assert hsm.labels() == ["device", "device-0002"]  # the former is kept for a day
    again = run("rotate", config, hsm, "--force")
    assert again.status == 0, again.stderr
    assert hsm.labels() == ["device-0002", "device-0003"]
    until(lambda: run("provision", config, hsm).answer["proven"], "still proven")


def test_key_and_claim_that_the_factory_put_there(agent: Agent, hsm: SoftHsm) -> None:
    hsm.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "device", "--id", "01")
    hsm.put(Path(agent.fleet.claim.private_key), "claim")
    claim = {"certificate": str(agent.fleet.claim.certificate), "private_key": hsm.uri("claim")}
    config = configured(agent, hsm, claim)
    done = run("provision", config, hsm)
    assert done.status == 0, done.stderr
    assert hsm.labels() == ["claim", "device"]
    assert run("rotate", config, hsm, "--force").status == 0
    assert run("rotate", config, hsm, "--force").status == 0
    # What the agent did not make it does not destroy.
    assert hsm.labels() == ["claim", "device", "device-0002", "device-0003"]


def test_a_csr_of_a_key_in_the_token(agent: Agent, hsm: SoftHsm, tmp_path: Path) -> None:
    key, pem = make_key(), tmp_path / "own.key"
    pem.write_bytes(key_pem(key))
    hsm.put(pem, "own")
    (tmp_path / "own.csr").write_text(make_csr(key))
    config = agent.configuration(tmp_path / "config.yaml")
    given = ("--csr", tmp_path / "own.csr", "--csr-key", hsm.uri("own"))
    done = run("provision", config, hsm, *given)
    assert done.status == 0, done.stderr
    assert done.answer["private_key_file"] == "pkcs11:token=fleet;object=own;type=private"


def test_what_is_wrong_with_it_is_named(agent: Agent, hsm: SoftHsm) -> None:
    def outcome(**key: object) -> tuple[int, str]:
        done = run("provision", configured(agent, hsm, None, **key), hsm)
        return done.status, done.error["code"]

    assert outcome(module="/usr/lib/none.so") == (78, "module-missing")
    assert outcome(token="other") == (78, "hardware-token-missing")
    assert outcome(pin_file="/nowhere/pin") == (78, "pin-unreadable")


def test_a_wrong_pin_is_tried_once(agent: Agent, hsm: SoftHsm) -> None:
    right = hsm.pin_file.read_text()
    hsm.pin_file.write_text("1111\n")
    config = configured(agent, hsm)
    first = run("provision", config, hsm)
    assert (first.status, first.error["code"]) == (78, "pin-wrong")
    assert "is wrong" in first.error["title"]
    again = run("provision", config, hsm)
    assert (again.status, again.error["code"]) == (78, "pin-wrong")
    assert "not tried again" in again.error["title"]
    remembered = json.loads((agent.state_dir / "pin-refused.json").read_text())
    assert "1111" not in remembered.values()
    hsm.pin_file.write_text(right)
    assert run("provision", config, hsm).status == 0
    assert not (agent.state_dir / "pin-refused.json").exists()


def test_two_tokens_of_one_label_are_told_before_aws_is_asked(agent: Agent, hsm: SoftHsm) -> None:
    hsm.add_token()
    done = run("provision", configured(agent, hsm), hsm)
    assert (done.status, done.error["code"]) == (78, "hardware-token-ambiguous"), done.stderr
    assert not (agent.state_dir / "ledger.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("4321\n".encode("utf-16"), "is UTF-16"),
        (b"4321\n8765\n", "more than one line"),
        (b"\xef\xbb\xbf\n", "is empty"),
    ],
)
def test_a_pin_that_cannot_be_right_costs_no_try(
    agent: Agent, hsm: SoftHsm, content: bytes, words: str
) -> None:
    hsm.pin_file.write_bytes(content)
    done = run("provision", configured(agent, hsm), hsm)
    assert (done.status, done.error["code"]) == (78, "pin-unreadable")
    assert words in done.error["title"]
    assert not (agent.state_dir / "pin-refused.json").exists()


def test_a_mark_before_the_pin_is_no_part_of_it(agent: Agent, hsm: SoftHsm) -> None:
    hsm.pin_file.write_bytes(b"\xef\xbb\xbf" + hsm.pin_file.read_bytes())
    assert run("provision", configured(agent, hsm), hsm).status == 0


@pytest.mark.slow
def test_token_pulled_out_of_a_running_agent(agent: Agent, hsm: SoftHsm) -> None:
    """What is connected stays so; a new connection, and a new start, say what is missing."""
    config = configured(agent, hsm)
    assert run("provision", config, hsm).status == 0
    direct = config.read_text()
    with Front(0, agent.fleet.sandbox.mqtt_port) as front:
        text = direct.replace(f"port: {agent.fleet.sandbox.mqtt_port}", f"port: {front.port}")
        config.write_text(text)
        with agent.running(config=config, env=hsm.environment) as daemon:
            daemon.wait_connected()
            hsm.remove()
            front.cut()
            problem = daemon.wait_for_problem("offline", 60)
            assert "There is no hardware token 'fleet'" in problem["title"]
            hsm.plug_in()
            until(lambda: daemon.log.count("connected to") == 2, "connected again", 60)
            assert "the hardware token is back\nrestarted in place\n" in daemon.log
            assert daemon.end() == 0
    config.write_text(direct)
    hsm.remove()
    with agent.running(config=config, env=hsm.environment) as daemon:
        assert daemon.process.wait(60) == 69, daemon.log
        assert "There is no hardware token 'fleet'" in daemon.log
    hsm.plug_in()
    with agent.running(config=config, env=hsm.environment) as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0


@pytest.mark.slow
@pytest.mark.skipif(not is_installed(), reason="no swtpm, tpm2-abrmd or tpm2-pkcs11 here")
@pytest.mark.parametrize("kind", ["ec-p256", pytest.param("rsa-2048", marks=pytest.mark.thorough)])
def test_a_life_in_a_tpm(agent: Agent, tmp_path: Path, kind: str) -> None:
    with SwTpm(tmp_path) as tpm:
        provisioning = {
            "template": agent.fleet.template,
            "parameters": {"SerialNumber": agent.serial},
            "key": {
                "store": "pkcs11",
                "type": kind,
                "module": str(MODULE),
                "token": "fleet",
                "pin_file": str(tpm.pin_file),
            },
        }
        config = agent.configuration(tmp_path / "config.yaml", provisioning=provisioning)
        words = ("--json", "--config", config)
        done = run_command("provision", *words, "--allow-volatile", env=tpm.environment)
        assert done.status == 0, done.stderr
        for _ in range(2):
            done = run_command("rotate", *words, "--force", env=tpm.environment)
            assert done.status == 0, done.stderr
        with agent.running(config=config, env=tpm.environment) as daemon:
            daemon.wait_connected()
            # Beside the session that uses the key before it.
            daemon.process.send_signal(signal.SIGUSR1)
            until(lambda: daemon.log.count("connected to") == 2, "connected again", 60)
            assert daemon.end() == 0
