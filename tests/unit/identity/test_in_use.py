"""An identity whose certificate or key is none is no identity, and says what brings it back."""

import dataclasses
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.credentials.store import Store
from fleet_agent.errors import CREDENTIAL_DAMAGED, STATE_DAMAGED, AgentError
from fleet_agent.identity.in_use import in_use
from support.agent import run_command
from support.provisioned import Device, provisioned
from support.users import NOBODY, as_user


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return provisioned(tmp_path / "state", "pump")


def damage_of(device: Device) -> AgentError:
    with as_user(device.state_dir.stat().st_uid), pytest.raises(AgentError) as caught:
        in_use(Store(device.state_dir, SystemClock()))
    return caught.value


def empty(path: Path) -> None:
    path.write_bytes(b"\n")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rubbish(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


def linked(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("elsewhere")))


def huge(path: Path) -> None:
    path.write_bytes(b"-" * (1 << 21))


def otherwise(path: Path) -> None:
    path.write_text("[1]")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def closed(path: Path) -> None:
    path.chmod(0)


def somebody_elses(path: Path) -> None:
    os.chown(path, 1, 1)
    path.chmod(0o600)


RECORDS = ("attempt.json", "issued.json", "registration.json", "proven")


def test_a_sound_one_is_what_the_store_has(device: Device) -> None:
    store = Store(device.state_dir, SystemClock())
    assert in_use(store) == store.current()
    assert in_use(Store(device.state_dir / "nothing", SystemClock())) is None


@pytest.mark.parametrize("harm", [empty, cut, rubbish, linked, huge])
@pytest.mark.parametrize("part", ["certificate", "private_key"])
def test_a_damaged_part_is_named_with_the_cure(
    device: Device, harm: Callable[[Path], None], part: str
) -> None:
    path: Path = getattr(device, part)
    harm(path)
    error = damage_of(device)
    assert (error.code, error.exit_status) == (CREDENTIAL_DAMAGED, 78)
    assert str(path) in error.title
    assert ("is empty" in error.title) == (harm is empty)
    assert "fleet-agent provision --force" in error.remedy
    assert "--csr" not in error.remedy
    # The certificate is in the cloud, too; the key is nowhere else.
    assert ("describe-certificate --certificate-id pump0" in error.remedy) == (
        part == "certificate"
    )


@pytest.mark.parametrize(
    "harm", [empty, cut, rubbish, otherwise, linked, huge, fifo, folder, dangling]
)
@pytest.mark.parametrize("name", RECORDS)
def test_a_damaged_record_ends_for_good_and_is_named(
    device: Device, harm: Callable[[Path], None], name: str
) -> None:
    """Another start would find the same: systemd is not to try for ever."""
    path = device.private_key.with_name(name)
    harm(path)
    error = damage_of(device)
    assert (error.code, error.exit_status) == (STATE_DAMAGED, 78)
    assert str(path) in error.title
    if name == "proven":
        subprocess.run(error.remedy.partition(";")[0].split(), check=True)
        assert in_use(Store(device.state_dir, SystemClock())) is not None
    else:
        assert "fleet-agent provision --force" in error.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("harm", [closed, somebody_elses])
@pytest.mark.parametrize("name", [*RECORDS, "certificate.pem.crt", "private.pem.key"])
def test_a_file_that_may_not_be_read_is_opened_up_by_the_doctor(
    harm: Callable[[Path], None], name: str
) -> None:
    """The identity is whole: none is to be provisioned in its place."""
    with tempfile.TemporaryDirectory() as place:
        device = provisioned(Path(place) / "state", "pump")
        for each in (Path(place), *Path(place).rglob("*")):
            os.chown(each, NOBODY, NOBODY, follow_symlinks=False)
        path = device.private_key.with_name(name)
        harm(path)
        error = damage_of(device)
    assert (error.code, error.exit_status) == ("state-eacces", 78)
    assert str(path) in error.title
    assert "sudo fleet-agent doctor --fix" in error.remedy
    assert "provision" not in error.remedy


@pytest.mark.parametrize("harm", [fifo, folder, dangling])
@pytest.mark.parametrize("name", ["credentials/current", "ledger.jsonl"])
def test_status_and_the_start_name_what_is_in_the_way(
    device: Device, harm: Callable[[Path], None], name: str
) -> None:
    path = device.state_dir / name
    (device.state_dir / "lock").touch()
    harm(path)
    done = run_command("status", "--json", "--state-dir", device.state_dir)
    assert done.status == (4 if name.endswith("current") else 3)
    (problem,) = done.answer["problems"]
    assert (problem["code"], str(path) in problem["title"]) == (STATE_DAMAGED, True)
    assert f"mv {path} {path}.aside" in problem["remedy"]


def test_a_key_that_was_given_is_cured_with_the_one_that_was_given(device: Device) -> None:
    record = device.private_key.with_name("attempt.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "csr_hash": "ab" * 32}))
    empty(device.private_key)
    assert "Copy the key there again" in damage_of(device).remedy
    assert "--csr FILE --csr-key FILE" in damage_of(device).remedy


def test_a_hardware_keys_record_that_is_empty_is_named(device: Device) -> None:
    device.private_key.unlink()
    record = device.private_key.with_name("key.json")
    empty(record)
    error = damage_of(device)
    assert error.exit_status == 78
    assert str(record) in error.title
    assert "fleet-agent provision --force" in error.remedy


def test_the_key_in_a_hardware_token_is_not_looked_for_in_a_file(device: Device) -> None:
    device.private_key.unlink()
    name = {"token": "board", "label": "device", "is_ours": True}
    device.private_key.with_name("key.json").write_text(json.dumps(name))
    found = in_use(Store(device.state_dir, SystemClock()))
    assert found is not None
    assert (found.private_key_file or "").startswith("pkcs11:")


def test_status_tells_of_whatever_is_damaged(device: Device) -> None:
    """With the exit status that it has for such a device: what stands on disk does not end it."""
    attempt = device.state_dir / "credentials/0002/attempt.json"
    attempt.parent.mkdir()
    attempt.write_text("{")
    done = run_command("status", "--json", "--state-dir", device.state_dir)
    (problem,) = done.answer["problems"]
    assert (done.status, done.answer["provisioned"]) == (3, True)
    assert (problem["code"], "provision --restart" in problem["remedy"]) == ("state-damaged", True)
    current = device.state_dir / "credentials/current"
    current.unlink()
    current.mkdir()
    done = run_command("status", "--json", "--state-dir", device.state_dir)
    (problem,) = done.answer["problems"]
    assert (done.status, done.answer["provisioned"]) == (4, False)
    assert str(current) in problem["title"]


def test_each_verb_says_the_same(device: Device, tmp_path: Path) -> None:
    empty(device.private_key)
    config = tmp_path / "config.yaml"
    claim = {"certificate": str(device.certificate), "private_key": str(device.certificate)}
    settings = {
        "endpoint": "localhost",
        "state_dir": str(device.state_dir),
        "claim": claim,
        "provisioning": {"template": "t", "parameters": {"SerialNumber": "1"}},
    }
    config.write_text(json.dumps(settings))
    expected = damage_of(device)
    words = {"title": expected.title, "remedy": expected.remedy, "code": CREDENTIAL_DAMAGED}
    for verb in (["provision"], ["run", "--allow-volatile"], ["rotate"]):
        done = run_command(*verb, "--json", "--config", config)
        assert done.status == 78, done.stderr
        assert {name: done.error[name] for name in words} == words, verb
    status = run_command("status", "--json", "--config", config)
    assert (status.status, status.answer["provisioned"]) == (4, False)
    assert [{name: problem[name] for name in words} for problem in status.answer["problems"]] == [
        words
    ]
    shown = run_command("status", "--config", config)
    assert expected.title in shown.stdout
    assert expected.remedy in shown.stdout
    doctor = run_command("doctor", "--json", "--config", config)
    assert doctor.status == 1, doctor.stderr
    found = [
        finding for finding in doctor.answer["findings"] if finding["code"] == CREDENTIAL_DAMAGED
    ]
    assert [(each["title"], each["remedy"]) for each in found] == [
        (expected.title, expected.remedy)
    ]
    assert dataclasses.asdict(device)["private_key"].read_bytes() == b"\n"
