"""The drop-ins that the package brings as examples, each in place on a booted device."""

import shutil
import subprocess
from pathlib import Path

from boot import roots
from boot.machine import UNIT, Machine

EXAMPLES = Path("usr/share/fleet-agent/examples/systemd")
CREDENTIALS = {
    "claim": {
        "certificate": "credential:claim-certificate",
        "private_key": "credential:claim-key",
    }
}


def example(device: Machine, name: str) -> None:
    """Puts an example where its first lines say."""
    device.drop_in((device.root / EXAMPLES / name).read_text())


def test_claim_from_credentials(device: Machine) -> None:
    device.configure(**CREDENTIALS)
    example(device, "claim-credentials.conf")
    store = device.root / "etc/credstore"
    store.mkdir(mode=0o700, exist_ok=True)
    claim = device.fleet.claim
    for name, source in (
        ("claim-certificate", claim.certificate),
        ("claim-key", claim.private_key),
    ):
        device.write(f"etc/credstore/fleet-agent.{name}", source.read_text(), 0o600)
        (device.root / "etc/fleet-agent/claim" / source.name).unlink()
    with device.booted():
        device.wait_connected()


def test_claim_from_an_encrypted_credential(device: Machine) -> None:
    example(device, "claim-encrypted.conf")
    (device.root / "etc/fleet-agent/config.yaml").unlink()
    key = f"/etc/fleet-agent/claim/{device.fleet.claim.private_key.name}"
    encrypted = "/etc/credstore.encrypted/fleet-agent.claim-key"
    with device.booted():
        device.wait_shown(ConditionResult="no")
        device.run("mkdir", "-p", "-m", "700", "/etc/credstore.encrypted")
        encrypt = ["systemd-creds", "encrypt", "--with-key=host", "--name=claim-key"]
        device.run(*encrypt, key, encrypted)
        device.run("rm", key)
        device.configure(
            claim={
                "certificate": f"claim/{device.fleet.claim.certificate.name}",
                "private_key": "credential:claim-key",
            }
        )
        device.run("rm", key)
        device.run("systemctl", "start", UNIT)
        device.wait_connected()


def test_state_on_data(device: Machine) -> None:
    example(device, "state-on-data.conf")
    data = device.root.parent / "data"
    data.mkdir()
    # A partition of its own, seen from inside; the folder as the example's comment makes it.
    roots.run("mount", "--bind", "--mkdir", str(data), str(device.root / "data"))
    try:
        owner = ["install", "-d", "-o", "_fleet-agent", "-g", "_fleet-agent", "-m", "700"]
        roots.inside(device.root, *owner, "/data/fleet-agent")
        with device.booted():
            device.wait_connected()
            assert (data / "fleet-agent/credentials/current").is_symlink()
            assert not (device.state / "credentials").exists()
            assert device.run("fleet-agent", "--version")
    finally:
        device.cut_power()
        roots.run("umount", "--lazy", str(device.root / "data"))


def test_a_serial_number_that_only_root_may_read(device: Machine) -> None:
    parameters = {"SerialNumber": {"file": "credential:dmi-product_serial"}}
    device.configure(provisioning={"template": device.fleet.template, "parameters": parameters})
    # This machine may have no DMI, and its serial would not be ours: a file in its place, as sysfs has it.
    text = (device.root / EXAMPLES / "dmi-serial.conf").read_text()
    assert "product_serial:/sys/class/dmi/id/product_serial" in text
    device.drop_in(text.replace("/sys/class/dmi/id/product_serial", "/etc/product_serial"))
    device.write("etc/product_serial", f"{device.serial}\n", 0o400)
    with device.booted():
        device.wait_connected()
        assert device.fleet.certificate_ids(device.thing_name) == [device.certificate_id()]


def test_a_key_in_a_token(device: Machine, tmp_path: Path) -> None:
    """SoftHSM's, made there by the service in its sandbox, with the PIN that systemd passes."""
    packages = ("softhsm2", "libsofthsm2", "softhsm2-common", "ucf", "sensible-utils")
    subprocess.run(["apt-get", "download", "-q", *packages], cwd=tmp_path, check=True)
    for deb in tmp_path.glob("*.deb"):
        shutil.copy(deb, device.root / "root")
    roots.inside(
        device.root, "sh", "-c", "dpkg -i /root/*softhsm2*.deb /root/ucf*.deb /root/sensible*.deb"
    )
    device.write("etc/fleet-agent/pkcs11.pin", "4321", 0o600)
    user = ("setpriv", "--reuid=_fleet-agent", "--regid=_fleet-agent", "--groups=softhsm")
    token = ("--label=fleet", "--pin=4321", "--so-pin=87654321")
    roots.inside(device.root, *user, "softhsm2-util", "--init-token", "--free", *token)
    example(device, "pkcs11.conf")
    device.configure(
        provisioning={
            "template": device.fleet.template,
            "parameters": {"SerialNumber": device.serial},
            "key": {
                "store": "pkcs11",
                "module": "/usr/lib/softhsm/libsofthsm2.so",
                "token": "fleet",
                "pin_file": "credential:pkcs11-pin",
            },
        }
    )
    with device.booted():
        device.wait_connected()
        assert (device.state / "credentials/current/key.json").exists()
        assert not (device.state / "credentials/current/private.pem.key").exists()


def test_a_tpm_that_is_missing_stops_nobody(device: Machine) -> None:
    example(device, "tpm.conf")
    roots.inside(device.root, "groupadd", "-r", "tss")
    with device.booted():
        device.wait_connected()


def test_handlers_may_write_and_compile(device: Machine) -> None:
    text = (device.root / EXAMPLES / "handlers.conf").read_text()
    write = "touch /var/lib/my-application/touched"
    device.drop_in(f"{text}\nExecStartPre=/bin/sh -c '{write}'\n")
    make = "install -d -o _fleet-agent /var/lib/my-application"
    roots.inside(device.root, "sh", "-c", make)
    with device.booted():
        device.wait_connected()
