"""Private keys in a PKCS#11 token: made, found, signed with and destroyed there. They never leave it.

A wrong PIN is never tried twice, since tokens lock after a few: what the PIN's file held is remembered (salted and
stretched, not as it is), and not given again. The remembered folder is the state directory.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_agent import files
from fleet_agent.config.paths import resolve_path
from fleet_agent.credentials import pkcs11
from fleet_agent.credentials.model import Place, TokenKey
from fleet_agent.credentials.pkcs11 import CryptokiError, Module, ModuleError, Session
from fleet_agent.errors import AgentError, DeviceError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

MISSING = "token-missing"
FAILED = "token-failed"
MAY_COME_BACK = frozenset({MISSING, FAILED})  # it may be plugged in again
REFUSED_PIN = "pin-refused.json"

_P256 = bytes.fromhex("06082a8648ce3d030107")  # the curve's OID, DER
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")  # DigestInfo
_RSA_BITS = 2048


def exists(key: TokenKey) -> bool:
    """Whether the token has a private key with this label.

    Raises:
        DeviceError: The token cannot be asked.
    """
    with _open(key.place) as session:
        return bool(_find(session, pkcs11.PRIVATE_KEY, key.label))


def make(key: TokenKey, kind: str) -> None:
    """Make the key in the token, ``ec-p256`` or ``rsa-2048``; one that is there already stays.

    Raises:
        DeviceError: The token cannot be asked, or cannot make one.
    """
    with _open(key.place) as session:
        if _find(session, pkcs11.PRIVATE_KEY, key.label):
            return
        name = key.label.encode()
        both: dict[int, pkcs11.Value] = {
            pkcs11.TOKEN: True,
            pkcs11.LABEL: name,
            pkcs11.ID: os.urandom(8),
        }
        public = {**both, pkcs11.VERIFY: True}
        if kind == "rsa-2048":
            mechanism = pkcs11.MAKE_RSA
            public |= {pkcs11.MODULUS_BITS: _RSA_BITS, pkcs11.PUBLIC_EXPONENT: b"\x01\x00\x01"}
        else:
            mechanism = pkcs11.MAKE_EC
            public |= {pkcs11.EC_PARAMS: _P256}
        private = {
            **both,
            pkcs11.PRIVATE: True,
            pkcs11.SENSITIVE: True,
            pkcs11.EXTRACTABLE: False,
            pkcs11.SIGN: True,
        }
        session.make_pair(mechanism, public, private)


def signer(key: TokenKey) -> Any:  # noqa: ANN401 - one of cryptography's interfaces, made when it is loaded
    """The key as ``cryptography`` takes one to sign a request with.

    Raises:
        DeviceError: The token cannot be asked, or has no such key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    public = public_key(key)
    return (
        _ec_signer(key, public)
        if isinstance(public, ec.EllipticCurvePublicKey)
        else _rsa_signer(key, public)
    )


def public_key(key: TokenKey) -> "ec.EllipticCurvePublicKey | rsa.RSAPublicKey":
    """The public half, as the token tells it.

    Raises:
        DeviceError: The token cannot be asked, has no such key, or one of another kind.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    with _open(key.place) as session:
        private = _the_one(session, key)
        kind = int.from_bytes(session.attribute(private, pkcs11.KEY_TYPE), "little")
        publics = _find(session, pkcs11.PUBLIC_KEY, key.label)
        sources = [*publics[:1], private]  # some tokens tell it of one, some of the other

        def told(attribute: int) -> bytes:
            return next(filter(None, (session.attribute(one, attribute) for one in sources)), b"")

        try:
            if kind == pkcs11.RSA:
                numbers = (told(pkcs11.PUBLIC_EXPONENT), told(pkcs11.MODULUS))
                return rsa.RSAPublicNumbers(*(int.from_bytes(n) for n in numbers)).public_key()
            if kind == pkcs11.EC and told(pkcs11.EC_PARAMS) == _P256:
                point = told(pkcs11.EC_POINT)
                # An OCTET STRING, by the book; some tokens give what is in it.
                point = point[2:] if point[:2] == b"\x04\x41" else point
                return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            pass
    raise DeviceError(
        f"The key {key} is neither RSA nor EC P-256, or the token does not tell its public half.",
        remedy=f"Let the agent make one: another label; or look: pkcs11-tool --module {key.place.module} -O",
        code="token-key-unusable",
    )


def destroy(key: TokenKey) -> None:
    """Destroy both halves; none there is fine.

    Raises:
        DeviceError: The token cannot be asked.
    """
    with _open(key.place) as session:
        for kind in (pkcs11.PRIVATE_KEY, pkcs11.PUBLIC_KEY):
            for item in _find(session, kind, key.label):
                session.destroy(item)


def check(key: TokenKey) -> str:
    """Make sure that the key is there and can be used, and give the PIN (as text) for the SDK, which is right then.

    Raises:
        DeviceError: The module, the token, the PIN or the key is not as it should be.
    """
    with _open(key.place) as session:
        _the_one(session, key)
    return _read_pin(key.place).decode()


# How ----------------------------------------------------------------------------------------------------------------


def _sign(key: TokenKey, mechanism: int, data: bytes) -> bytes:
    with _open(key.place) as session:
        return session.sign(_the_one(session, key), mechanism, data)


def _sha256(data: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes

    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def _ec_signer(key: TokenKey, public: "ec.EllipticCurvePublicKey") -> Any:  # noqa: ANN401
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    class Signer(_Held, ec.EllipticCurvePrivateKey):
        curve = public.curve
        key_size = public.key_size

        def sign(self, data: Any, _algorithm: object) -> bytes:  # noqa: ANN401
            raw = _sign(key, pkcs11.SIGN_EC, _sha256(data))
            half = len(raw) // 2
            return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    return _concrete(Signer)(public)


def _rsa_signer(key: TokenKey, public: "rsa.RSAPublicKey") -> Any:  # noqa: ANN401
    from cryptography.hazmat.primitives.asymmetric import rsa

    class Signer(_Held, rsa.RSAPrivateKey):
        key_size = public.key_size

        def sign(self, data: Any, _padding: object, _algorithm: object) -> bytes:  # noqa: ANN401
            return _sign(key, pkcs11.SIGN_RSA, _SHA256_PREFIX + _sha256(data))

    return _concrete(Signer)(public)


class _Held:
    """What both signers have."""

    def __init__(self, public: Any) -> None:  # noqa: ANN401
        self._public = public

    def public_key(self) -> Any:  # noqa: ANN401
        return self._public


def _concrete(cls: Any) -> Any:  # noqa: ANN401
    """The class without abstract methods: nobody asks this key for what it does not give, such as itself."""
    cls.__abstractmethods__ = frozenset()
    return cls


@contextmanager
def _open(place: Place) -> Iterator[Session]:
    """A session with the token, logged in; what fails in it is put into words."""
    try:
        module = Module.load(place.module)
        with module.session(_slot(module, place)) as session:
            _log_in(session, place)
            yield session
    except ModuleError as error:
        raise DeviceError(
            f"The PKCS#11 module {place.module} cannot be loaded: {error}.",
            remedy="Name the module's path in provisioning.key.module (dpkg -L PACKAGE | grep '[.]so'); in the "
            "service it must lie below /usr, or a drop-in adds ExecPaths=.",
            code="module-missing",
        ) from error
    except CryptokiError as error:
        raise DeviceError(
            f"The token {place.token!r} failed: {error}.",
            remedy=f"Is it plugged in and free? pkcs11-tool --module {place.module} -L",
            code=FAILED,
        ) from error


def _slot(module: Module, place: Place) -> int:
    there = list(module.tokens())
    for slot, label, flags in there:
        if label != place.token:
            continue
        if flags & pkcs11.LOCKED:
            raise _locked(place)
        if flags & pkcs11.LAST_TRY:
            raise DeviceError(
                f"The token {place.token!r} takes one more wrong PIN before it locks; nothing is tried.",
                remedy=f"Give it the right one by hand: pkcs11-tool --module {place.module} --token-label "
                f"{place.token} --login -O",
                code="pin-last-try",
            )
        return slot
    labels = ", ".join(repr(label) for _, label, _ in there if label) or "none"
    raise DeviceError(
        f"There is no token {place.token!r}; the module {place.module} knows: {labels}.",
        remedy="Plug it in, or correct provisioning.key.token; the agent's user must be allowed to see it "
        "(docs/how-to/hardware-keys.md).",
        code=MISSING,
    )


def _log_in(session: Session, place: Place) -> None:
    pin = _read_pin(place)
    memory = Path(place.state_dir) / REFUSED_PIN
    if _was_refused(memory, pin):
        raise _wrong_pin(place, "was refused before and is not tried again")
    try:
        session.log_in(pin)
    except CryptokiError as error:
        if error.code == pkcs11.PIN_LOCKED:
            raise _locked(place) from error
        if error.code not in pkcs11.PIN_WRONG:
            raise
        _remember(memory, pin)
        raise _wrong_pin(place, "is wrong") from error
    if files.is_there(memory):
        with contextlib.suppress(AgentError):
            files.remove(memory)


def _wrong_pin(place: Place, words: str) -> DeviceError:
    return DeviceError(
        f"The PIN of the token {place.token!r} in {place.pin_file} {words}.",
        remedy=f"Put the right one into {place.pin_file}; until that file changes the token is left alone, so that "
        "it does not lock.",
        code="pin-wrong",
    )


def _locked(place: Place) -> DeviceError:
    return DeviceError(
        f"The token {place.token!r} is locked: too many wrong PINs.",
        remedy=f"Unlock it with the security officer's PIN: pkcs11-tool --module {place.module} --token-label "
        f"{place.token} --login --login-type so --init-pin",
        code="pin-locked",
    )


def _read_pin(place: Place) -> bytes:
    path = resolve_path(place.pin_file, os.environ)
    try:
        pin = path.read_bytes().strip()
    except OSError as error:
        raise DeviceError(
            f"The PIN of the token {place.token!r} cannot be read from {path}: {error.strerror}.",
            remedy=f"Write it there, readable by the agent's user alone (chown _fleet-agent {path}; chmod 400 "
            f"{path}), or use LoadCredential= and credential:NAME.",
            code="pin-unreadable",
        ) from error
    if not pin:
        raise DeviceError(
            f"The PIN file {path} is empty.",
            remedy="Write the PIN into it.",
            code="pin-unreadable",
        )
    return pin


def _stretch(pin: bytes, salt: bytes) -> str:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=2**14, r=8, p=1).derive(pin).hex()


def _remember(memory: Path, pin: bytes) -> None:
    salt = os.urandom(16)
    record = {"salt": salt.hex(), "pin": _stretch(pin, salt)}
    files.write(memory, json.dumps(record).encode() + b"\n", 0o600)


def _was_refused(memory: Path, pin: bytes) -> bool:
    data = files.read(memory)
    if data is None:
        return False
    try:
        record = json.loads(data)
        return bool(_stretch(pin, bytes.fromhex(record["salt"])) == record["pin"])
    except (ValueError, KeyError, TypeError):
        return False  # not written to the end


def _find(session: Session, kind: int, label: str) -> list[int]:
    return session.find({pkcs11.CLASS: kind, pkcs11.LABEL: label.encode()})


def _the_one(session: Session, key: TokenKey) -> int:
    found = _find(session, pkcs11.PRIVATE_KEY, key.label)
    if len(found) == 1:
        return found[0]
    how_many = f"{len(found)} private keys" if found else "no private key"
    raise DeviceError(
        f"The token {key.place.token!r} has {how_many} with the label {key.label!r}.",
        remedy=f"Look: pkcs11-tool --module {key.place.module} --token-label {key.place.token} --login -O",
        code="token-key-missing",
    )
