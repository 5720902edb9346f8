"""The claim goes by itself: counted by the agent, deleted by root in the unit, and the service starts without it."""

from boot.machine import UNIT, Machine
from boot.test_drop_ins import CREDENTIALS, EXAMPLES
from support.agent import until

GOING = {"after_success": "delete", "good_starts": 1}


def served(device: Machine) -> None:
    until((device.state / "claim-served").exists, "the mark", 120)


def test_files_go_once_the_device_has_its_identity(device: Machine) -> None:
    claim = device.fleet.claim
    names = {
        "certificate": f"claim/{claim.certificate.name}",
        "private_key": f"claim/{claim.private_key.name}",
    }
    device.configure(claim={**names, **GOING})
    files = [device.root / "etc/fleet-agent" / name for name in names.values()]
    with device.booted():
        device.wait_connected()
        served(device)
        assert all(file.exists() for file in files)
        before = device.certificate_id()
        device.run("systemctl", "restart", UNIT)
        device.wait_connected()
        assert not any(file.exists() for file in files)
        assert not (device.state / "claim-served").exists()
        assert "revoke the claim" in device.journal_text()
        device.run("systemctl", "restart", UNIT)
        device.wait_connected()
        assert device.certificate_id() == before


def test_credentials_go_and_the_service_starts_without_them(device: Machine) -> None:
    device.configure(claim={**CREDENTIALS["claim"], **GOING})
    device.drop_in((device.root / EXAMPLES / "claim-credentials.conf").read_text())
    store = device.root / "etc/credstore"
    store.mkdir(mode=0o700, exist_ok=True)
    claim = device.fleet.claim
    pairs = (("claim-certificate", claim.certificate), ("claim-key", claim.private_key))
    for name, source in pairs:
        device.write(f"etc/credstore/fleet-agent.{name}", source.read_text(), 0o600)
        (device.root / "etc/fleet-agent/claim" / source.name).unlink()
    with device.booted():
        device.wait_connected()
        served(device)
        for _ in range(2):  # the one that deletes them, and one that finds none
            device.run("systemctl", "restart", UNIT)
            device.wait_connected()
            assert [*store.glob("fleet-agent.*")] == [], device.journal_text()
        assert "claim-not-deleted" not in device.run("fleet-agent", "status", "--json")
