"""A key that is made in the factory, before the network and before anybody knows the template: provisioning uses it."""

import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.agent import Agent, run_command
from support.fleets import Fleet
from support.softhsm import SoftHsm


def key_of_certificate(agent: Agent) -> str:
    """Gives the hash of the public key that AWS certified."""
    pem = (agent.credentials / "current" / "certificate.pem.crt").read_bytes()
    public = x509.load_pem_x509_certificate(pem).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def test_key_of_the_factory_is_the_one_that_is_certified(fleet: Fleet, tmp_path: Path) -> None:
    agent = Agent(fleet, tmp_path)
    # In the factory the device knows neither its serial number nor the template it will have.
    factory = agent.but(template_parameters=None, template_name="factory")

    def key(device: Agent, *what: str, status: int = 0) -> str:
        volatile = ("--allow-volatile",)
        done = run_command("key", *device.flags(), *what, *volatile)
        assert done.status == status, done.stderr
        return done.stdout.strip()

    assert key(factory, "--print-hash", status=78) == ""
    made = key(factory, "--make")
    assert len(made) == 64
    assert key(factory, "--make") == key(factory, "--print-hash") == made
    files = [path.name for path in agent.credentials.glob("0001/*")]
    assert sorted(files) == ["attempt.json", "private.pem.key"]
    done = agent.provision("--restart")
    assert done.status == 0, done.stderr
    assert key_of_certificate(agent) == key(agent, "--print-hash") == made


def test_aws_makes_no_key_ahead(fleet: Fleet, tmp_path: Path) -> None:
    agent = Agent(fleet, tmp_path, method="keys")
    done = run_command("key", "--json", *agent.flags(), "--make", "--allow-volatile")
    assert (done.status, done.error["code"]) == (78, "configuration")
    assert not agent.credentials.exists()


@pytest.mark.slow
def test_key_of_the_factory_in_a_hardware_token(fleet: Fleet, tmp_path: Path) -> None:
    agent, hsm = Agent(fleet, tmp_path), SoftHsm(tmp_path)
    provisioning = {
        "template": fleet.template,
        "parameters": {"SerialNumber": agent.serial},
        "key": hsm.key(),
    }
    config = agent.configuration(tmp_path / "config.yaml", provisioning=provisioning, proxy="none")

    def run(*words: str | Path) -> dict[str, object]:
        given: tuple[str | Path, ...] = (*words, "--json", "--config", config, "--allow-volatile")
        done = run_command(*given, env=hsm.environment)
        assert done.status == 0, done.stderr
        return done.answer

    made = run("key", "--make")
    assert hsm.labels() == ["device"]
    assert made["made"] is True
    run("provision")
    assert key_of_certificate(agent) == made["public_key_sha256"]
    assert hsm.labels() == ["device"]
