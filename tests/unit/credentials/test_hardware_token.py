"""Keys in a hardware token: SoftHSM stands for one, its module in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fleet_agent.credentials import keys as requests
from fleet_agent.credentials.hardware_token import cryptoki, keys
from fleet_agent.credentials.hardware_token.cryptoki import CryptokiError, Module, ModuleError
from fleet_agent.credentials.model import (
    Generation,
    HardwareKey,
    HardwareToken,
    Registration,
)
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError
from support.clock import FakeClock
from support.softhsm import MODULE, PIN, TOKEN
from support.walks import ATTEMPT, issued


@pytest.fixture(params=["ec-p256", "rsa-2048"])
def key(token: HardwareToken, request: pytest.FixtureRequest) -> Iterator[HardwareKey]:
    made = HardwareKey(token=token, label=f"device {request.param}", is_ours=True)
    keys.make(made, request.param)
    yield made
    keys.destroy(made)


def attributes(key: HardwareKey, kind: int, *wanted: int) -> list[bytes]:
    with keys._open(key.token) as session:
        (item,) = keys._find(session, kind, key.label)
        return [session.attribute(item, each) for each in wanted]


def test_a_key_is_made_once_and_never_leaves_the_token(key: HardwareKey) -> None:
    before = keys.public_key(key).public_numbers()
    keys.make(key, "ec-p256")
    assert keys.exists(key)
    assert keys.public_key(key).public_numbers() == before
    names = (
        cryptoki.TOKEN,
        cryptoki.PRIVATE,
        cryptoki.SENSITIVE,
        cryptoki.EXTRACTABLE,
        cryptoki.SIGN,
    )
    assert attributes(key, cryptoki.PRIVATE_KEY, *names) == [b"\1", b"\1", b"\1", b"\0", b"\1"]
    token, verify = attributes(key, cryptoki.PUBLIC_KEY, cryptoki.TOKEN, cryptoki.VERIFY)
    assert (token, verify) == (b"\1", b"\1")
    (private_id,) = attributes(key, cryptoki.PRIVATE_KEY, cryptoki.ID)
    (public_id,) = attributes(key, cryptoki.PUBLIC_KEY, cryptoki.ID)
    assert private_id == public_id
    assert len(private_id) == 8
    assert keys.check(key) == PIN
    keys.destroy(key)
    keys.destroy(key)
    assert not keys.exists(key)
    with pytest.raises(
        DeviceError, match=f"'{TOKEN}' has no private key with the label '{key.label}'"
    ) as caught:
        keys.check(key)
    assert caught.value.code == "hardware-token-key-missing"
    assert f"--module {MODULE} --token-label {TOKEN}" in caught.value.remedy


def test_it_signs_a_request_that_anybody_can_check(key: HardwareKey) -> None:
    csr = x509.load_pem_x509_csr(requests.make_csr(key).pem.encode())
    assert csr.is_signature_valid
    public: Any = csr.public_key()
    assert public.public_numbers() == keys.public_key(key).public_numbers()
    signer = keys.signer(key)
    assert signer.key_size == public.key_size
    assert signer.public_key().public_numbers() == public.public_numbers()
    if isinstance(public, rsa.RSAPublicKey):
        assert (public.key_size, public.public_numbers().e) == (2048, 65537)
    else:
        assert isinstance(signer.curve, ec.SECP256R1)
        for _ in range(8):  # a part of the signature may begin with zeros
            public.verify(signer.sign(b"data", None), b"data", ec.ECDSA(hashes.SHA256()))


def test_two_keys_of_one_label_are_none(token: HardwareToken) -> None:
    label = "twice"
    public: dict[int, cryptoki.Value] = {
        cryptoki.TOKEN: True,
        cryptoki.LABEL: label.encode(),
        cryptoki.EC_PARAMS: keys._P256,
    }
    private: dict[int, cryptoki.Value] = {
        cryptoki.TOKEN: True,
        cryptoki.LABEL: label.encode(),
        cryptoki.SIGN: True,
    }
    with keys._open(token) as session:
        for _ in range(2):
            session.make_pair(cryptoki.MAKE_EC, public, private)
    key = HardwareKey(token=token, label=label)
    with pytest.raises(DeviceError, match="has 2 private keys"):
        keys.check(key)
    keys.destroy(key)
    assert not keys.exists(key)


@pytest.mark.parametrize(
    "curve", ["06052b81040022", "06082a8648ce3d030107"], ids=["P-384", "P-256"]
)
def test_another_curve_is_said_to_be_none_of_ours(token: HardwareToken, curve: str) -> None:
    key = HardwareKey(token=token, label="curve")
    name: dict[int, cryptoki.Value] = {cryptoki.TOKEN: True, cryptoki.LABEL: b"curve"}
    with keys._open(token) as session:
        session.make_pair(
            cryptoki.MAKE_EC, {**name, cryptoki.EC_PARAMS: bytes.fromhex(curve)}, name
        )
    try:
        if curve.endswith("07"):
            assert isinstance(keys.public_key(key), ec.EllipticCurvePublicKey)
            return
        with pytest.raises(DeviceError, match="neither RSA nor EC P-256") as caught:
            keys.public_key(key)
        assert caught.value.code == "hardware-token-key-unusable"
        assert str(MODULE) in caught.value.remedy
    finally:
        keys.destroy(key)


def test_without_its_public_half_a_key_cannot_be_used(key: HardwareKey) -> None:
    with keys._open(key.token) as session:
        for item in keys._find(session, cryptoki.PUBLIC_KEY, key.label):
            session.destroy(item)
    if "rsa" in key.label:  # the private half has it too
        assert isinstance(keys.public_key(key), rsa.RSAPublicKey)
    else:
        with pytest.raises(DeviceError, match="public half"):
            keys.public_key(key)


# The store's ----------------------------------------------------------------------------------------------------------


def held(store: Store, key: HardwareKey, certificate: str | None = None) -> Generation:
    """A generation with that key; with a certificate it is in use."""
    found = store.keep_key(store.open(ATTEMPT), key)
    keys.make(key, "ec-p256")
    if certificate is not None:
        found = store.keep_certificate(found, issued(certificate), "c", None)
        found = store.keep_registration(
            found, Registration(thing_name="t", device_configuration={})
        )
        store.promote(store.mark_proven(found, "in a test"))
    return found


def test_a_key_goes_with_its_generation_but_for_one_that_is_used_again_or_not_ours(
    token: HardwareToken, tmp_path: Path
) -> None:
    store = Store(tmp_path, FakeClock(), token)
    mine = HardwareKey(token=token, label="mine", is_ours=True)
    shared = HardwareKey(token=token, label="shared", is_ours=True)
    theirs = HardwareKey(token=token, label="theirs")
    held(store, shared, "a")
    for key in (shared, theirs, mine):
        held(store, key)
        store.open(ATTEMPT)
    assert [keys.exists(each) for each in (shared, theirs, mine)] == [True, True, False]
    assert requests.public_key_of_key(shared, "it") == requests._encode(keys.public_key(shared))
    held(store, mine, "b")
    held(store, theirs)
    store.remove_replaced()
    assert [keys.exists(each) for each in (shared, theirs, mine)] == [False, True, True]
    held(store, mine)
    store.destroy_hardware_keys()
    assert [keys.exists(each) for each in (theirs, mine)] == [True, False]
    keys.destroy(theirs)


# The module -----------------------------------------------------------------------------------------------------------


def test_tokens_and_objects(token: HardwareToken) -> None:
    module = Module.load(token.module)
    assert Module.load(token.module) is module
    (found,) = [each for each in module.tokens() if each[1]]
    slot, label, flags = found
    assert label == TOKEN
    assert not flags & (cryptoki.LOCKED | cryptoki.LAST_TRY)
    with module.session(slot) as session:
        session.log_in(PIN.encode())
        session.log_in(PIN.encode())  # by another session of this process
        assert session.find({cryptoki.LABEL: b"nothing"}) == []
        assert session.attribute(999, cryptoki.ID) == b""
        with pytest.raises(
            CryptokiError, match="C_DestroyObject: CKR_OBJECT_HANDLE_INVALID"
        ) as caught:
            session.destroy(999)
        assert caught.value.code == 0x82
        with pytest.raises(CryptokiError):
            session.sign(999, cryptoki.SIGN_EC, b"")
    with pytest.raises(CryptokiError, match="CKR_SESSION_HANDLE_INVALID"):
        session.find({cryptoki.LABEL: b"nothing"})
    assert "0x1234" in str(CryptokiError("C_Login", 0x1234))


def test_a_module_that_is_none(token: HardwareToken, tmp_path: Path) -> None:
    nothing = tmp_path / "module.so"
    for path, words in (
        (nothing, "No such file|module.so"),
        (Path("libc.so.6"), "C_GetFunctionList"),
    ):
        with pytest.raises(ModuleError, match=words):
            Module.load(str(path))
        other = HardwareToken(
            module=str(path), label=TOKEN, pin_file=token.pin_file, state_dir=token.state_dir
        )
        with pytest.raises(DeviceError, match=f"module {path} cannot be loaded") as caught:
            keys.exists(HardwareKey(token=other, label="x"))
        assert caught.value.code == "module-missing"


def test_a_failure_of_the_token_is_put_into_words(token: HardwareToken) -> None:
    with (
        pytest.raises(DeviceError, match=f"'{TOKEN}' failed: C_X: CKR_DEVICE_REMOVED") as caught,
        keys._open(token),
    ):
        raise CryptokiError("C_X", 0x32)
    assert caught.value.code in keys.MAY_COME_BACK
    assert f"--module {MODULE} -L" in caught.value.remedy
