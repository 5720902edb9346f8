"""What is written of a key in a hardware token, without one."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from fleet_agent.config import pkcs11_uri
from fleet_agent.config.shape import WrongValueError
from fleet_agent.credentials.hardware_token.cryptoki import Module, ModuleError
from fleet_agent.credentials.model import HardwareKey, HardwareToken
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError, StateDirectoryError
from support.clock import FakeClock
from support.users import NOBODY
from support.walks import ATTEMPT


def place(state_dir: Path) -> HardwareToken:
    return HardwareToken(
        module="/usr/lib/m.so", label="a b", pin_file="/etc/pin", state_dir=str(state_dir)
    )


def test_a_generation_says_which_key_is_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path, FakeClock())
    key = HardwareKey(token=place(tmp_path), label="device-0002", is_ours=True)
    found = store.keep_key(store.open(ATTEMPT), key)
    assert found.has_key
    assert store.key(found.number) == key
    assert Store(tmp_path, FakeClock()).pending() == found
    assert str(key) == "pkcs11:token=a%20b;object=device-0002;type=private"
    kept = json.loads((store.folder(found.number) / "key.json").read_text())
    assert kept == {"token": "a b", "label": "device-0002", "is_ours": True}
    # Where module and PIN file are the configuration alone says.
    moved = dataclasses.replace(key.token, module="/opt/m.so", pin_file="credential:pin")
    assert Store(tmp_path, FakeClock(), moved).key(1) == dataclasses.replace(key, token=moved)


def test_no_module_is_taken_from_the_state(tmp_path: Path) -> None:
    """Whoever may write there could have root load it."""
    store = Store(tmp_path, FakeClock())
    found = store.open(ATTEMPT)
    older = {
        "module": "/tmp/evil.so",
        "token": "a b",
        "pin_file": "/p",
        "label": "x",
        "is_ours": True,
    }
    (store.folder(found.number) / "key.json").write_text(json.dumps(older))
    other = dataclasses.replace(place(tmp_path), label="other")
    for opened in (Store(tmp_path, FakeClock()), Store(tmp_path, FakeClock(), other)):
        with pytest.raises(DeviceError) as caught:
            opened.key(1)
        assert caught.value.code == "hardware-token-not-configured"
        assert "evil" not in f"{caught.value.title} {caught.value.remedy}"
    key = Store(tmp_path, FakeClock(), place(tmp_path)).key(1)
    assert isinstance(key, HardwareKey)
    assert key.token == place(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to refuse as root")
def test_root_loads_no_module_that_another_user_could_exchange(tmp_path: Path) -> None:
    module = tmp_path / "m.so"
    module.write_bytes(b"")
    for owner, mode in ((NOBODY, 0o644), (0, 0o666)):
        os.chown(module, owner, owner)
        module.chmod(mode)
        with pytest.raises(ModuleError, match="root loads only files that root alone can change"):
            Module.load(str(module))


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path, FakeClock())
    found = store.open(ATTEMPT)
    (store.folder(found.number) / "key.json").write_text('{"label": 1}')
    with pytest.raises(StateDirectoryError):
        store.key(found.number)


def test_a_token_that_cannot_be_asked_keeps_nobody_from_going_on(tmp_path: Path) -> None:
    store = Store(tmp_path, FakeClock())
    key = HardwareKey(token=place(tmp_path), label="x", is_ours=True)
    store.keep_key(store.open(ATTEMPT), key)
    assert store.open(ATTEMPT).number == 2  # the first one's folder is gone, its key is not
    assert not store.folder(1).exists()


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:token=a%20b;object=c",
        "pkcs11:token=a%3Bb;object=c;type=private?module-path=/usr/lib/m.so&pin-source=/etc/pin",
        "pkcs11:token=t;object=%C3%A9?pin-source=credential:pin",
    ],
)
def test_a_uri_read_and_written_is_the_same(text: str) -> None:
    assert pkcs11_uri.write(pkcs11_uri.read(text)) == text


def test_a_file_uri_is_a_path() -> None:
    for source in ("file:///etc/pin", "file:/etc/pin", "/etc/pin"):
        found = pkcs11_uri.read(f"pkcs11:token=t;object=o?pin-source={source}")
        assert found["pin-source"] == "/etc/pin"


@pytest.mark.parametrize(
    "rest", ["token=t", "object=o", "token=t;object=o;type=cert", "token=t;token=u;object=o",
             "token=t;object=o?pin-value=4321", "token=t;object=o?x=y", "token;object=o"]
)  # fmt: skip
def test_a_wrong_uri(rest: str) -> None:
    with pytest.raises(WrongValueError) as caught:
        pkcs11_uri.read(f"pkcs11:{rest}")
    assert "4321" not in f"{caught.value.problem} {caught.value.suggestion}"
