"""Private keys in a hardware token: made, found, signed with and destroyed there. They never leave it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fleet_agent.credentials.hardware_token import cryptoki, pin
from fleet_agent.credentials.hardware_token.cryptoki import (
    CryptokiError,
    Module,
    ModuleError,
    Session,
)
from fleet_agent.credentials.model import HardwareKey, HardwareToken
from fleet_agent.errors import DeviceError
from fleet_agent.pasted import word

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

MISSING = "hardware-token-missing"
FAILED = "hardware-token-failed"
MAY_COME_BACK = frozenset({MISSING, FAILED})  # it may be plugged in again

_P256 = bytes.fromhex("06082a8648ce3d030107")  # the curve's OID, DER
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")  # DigestInfo
_RSA_BITS = 2048


def exists(key: HardwareKey) -> bool:
    """Whether the hardware token has a private key with this label.

    Raises:
        DeviceError: The hardware token cannot be asked.
    """
    with _open(key.token) as session:
        return bool(_find(session, cryptoki.PRIVATE_KEY, key.label))


def make(key: HardwareKey, kind: str) -> None:
    """Makes the key in the hardware token, ``ec-p256`` or ``rsa-2048``; one that is there already stays.

    Raises:
        DeviceError: The hardware token cannot be asked, or cannot make one.
    """
    with _open(key.token) as session:
        if _find(session, cryptoki.PRIVATE_KEY, key.label):
            return
        name = key.label.encode()
        both: dict[int, cryptoki.Value] = {
            cryptoki.TOKEN: True,
            cryptoki.LABEL: name,
            cryptoki.ID: os.urandom(8),
        }
        public = {**both, cryptoki.VERIFY: True}
        if kind == "rsa-2048":
            mechanism = cryptoki.MAKE_RSA
            public |= {cryptoki.MODULUS_BITS: _RSA_BITS, cryptoki.PUBLIC_EXPONENT: b"\x01\x00\x01"}
        else:
            mechanism = cryptoki.MAKE_EC
            public |= {cryptoki.EC_PARAMS: _P256}
        private = {
            **both,
            cryptoki.PRIVATE: True,
            cryptoki.SENSITIVE: True,
            cryptoki.EXTRACTABLE: False,
            cryptoki.SIGN: True,
        }
        session.make_pair(mechanism, public, private)


def signer(key: HardwareKey) -> Any:  # noqa: ANN401 - one of cryptography's interfaces, made when it is loaded
    """The key as ``cryptography`` takes one to sign a request with; in a process without the SDK.

    Raises:
        DeviceError: The hardware token cannot be asked, or has no such key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    with _reported(key.token):
        # Another process made the key a moment ago.
        Module.load(key.token.module).reload()
    public = public_key(key)
    return (
        _ec_signer(key, public)
        if isinstance(public, ec.EllipticCurvePublicKey)
        else _rsa_signer(key, public)
    )


def public_key(key: HardwareKey) -> "ec.EllipticCurvePublicKey | rsa.RSAPublicKey":
    """The public half, as the hardware token has it.

    Raises:
        DeviceError: The hardware token cannot be asked, has no such key, or one of another kind.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    with _open(key.token) as session:
        private = _only_key(session, key)
        kind = int.from_bytes(session.attribute(private, cryptoki.KEY_TYPE), "little")
        publics = _find(session, cryptoki.PUBLIC_KEY, key.label)
        sources = [*publics[:1], private]  # some hardware tokens have it in one, some in the other

        def read(attribute: int) -> bytes:
            return next(
                filter(None, (session.attribute(item, attribute) for item in sources)), b""
            )

        try:
            if kind == cryptoki.RSA:
                numbers = (read(cryptoki.PUBLIC_EXPONENT), read(cryptoki.MODULUS))
                return rsa.RSAPublicNumbers(*(int.from_bytes(n) for n in numbers)).public_key()
            if kind == cryptoki.EC and read(cryptoki.EC_PARAMS) == _P256:
                point = read(cryptoki.EC_POINT)
                # An OCTET STRING, by the book; some hardware tokens give what is in it.
                point = point[2:] if point[:2] == b"\x04\x41" else point
                return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            pass
    raise DeviceError(
        f"The key {key} is neither RSA nor EC P-256, or the hardware token does not show its public half.",
        remedy="Set another label, so that the agent makes a key; or see what is there: pkcs11-tool --module "
        f"{word(key.token.module)} -O",
        code="hardware-token-key-unusable",
    )


def destroy(key: HardwareKey) -> None:
    """Destroys both halves; none there is fine.

    Raises:
        DeviceError: The hardware token cannot be asked.
    """
    with _open(key.token) as session:
        for kind in (cryptoki.PRIVATE_KEY, cryptoki.PUBLIC_KEY):
            for item in _find(session, kind, key.label):
                session.destroy(item)


def check(key: HardwareKey) -> str:
    """Makes sure that the key is there and can be used, and gives the PIN (as text) for the SDK, which is right then.

    Raises:
        DeviceError: The module, the hardware token, the PIN or the key is not as it should be.
    """
    with _open(key.token) as session:
        _only_key(session, key)
    return pin.read(key.token).decode()


# How ----------------------------------------------------------------------------------------------------------------


def _sign(key: HardwareKey, mechanism: int, data: bytes) -> bytes:
    with _open(key.token) as session:
        return session.sign(_only_key(session, key), mechanism, data)


def _sha256(data: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes

    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def _ec_signer(key: HardwareKey, public: "ec.EllipticCurvePublicKey") -> Any:  # noqa: ANN401
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    class Signer(_Held, ec.EllipticCurvePrivateKey):
        curve = public.curve
        key_size = public.key_size

        def sign(self, data: Any, _algorithm: object) -> bytes:  # noqa: ANN401
            raw = _sign(key, cryptoki.SIGN_EC, _sha256(data))
            half = len(raw) // 2
            return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    return _concrete(Signer)(public)


def _rsa_signer(key: HardwareKey, public: "rsa.RSAPublicKey") -> Any:  # noqa: ANN401
    from cryptography.hazmat.primitives.asymmetric import rsa

    class Signer(_Held, rsa.RSAPrivateKey):
        key_size = public.key_size

        def sign(self, data: Any, _padding: object, _algorithm: object) -> bytes:  # noqa: ANN401
            return _sign(key, cryptoki.SIGN_RSA, _SHA256_PREFIX + _sha256(data))

    return _concrete(Signer)(public)


class _Held:
    """What both signers share."""

    def __init__(self, public: Any) -> None:  # noqa: ANN401
        self._public = public

    def public_key(self) -> Any:  # noqa: ANN401
        return self._public


def _concrete(cls: Any) -> Any:  # noqa: ANN401
    """The class without abstract methods: this key is not asked for what it does not give, such as itself."""
    cls.__abstractmethods__ = frozenset()
    return cls


@contextmanager
def _open(token: HardwareToken) -> Iterator[Session]:
    """A session with the hardware token, logged in; failures become errors for the user."""
    with _reported(token):
        module = Module.load(token.module)
        with module.session(_slot(module, token)) as session:
            pin.log_in(session, token)
            yield session


@contextmanager
def _reported(token: HardwareToken) -> Iterator[None]:
    try:
        yield
    except ModuleError as error:
        raise DeviceError(
            f"The PKCS#11 module {token.module} cannot be loaded: {error}.",
            remedy="Set the module's path in provisioning.key.module (dpkg -L PACKAGE | grep '[.]so'); in the "
            "service it must be below /usr, or a drop-in must add ExecPaths=.",
            code="module-missing",
        ) from error
    except CryptokiError as error:
        raise DeviceError(
            f"The hardware token {token.label!r} failed: {error}.",
            remedy=f"Is it plugged in and free? pkcs11-tool --module {word(token.module)} -L",
            code=FAILED,
        ) from error


def _slot(module: Module, token: HardwareToken) -> int:
    there = list(module.tokens())
    found = [(slot, flags) for slot, label, flags in there if label == token.label]
    if len(found) > 1:
        raise DeviceError(
            f"{len(found)} hardware tokens have the label {token.label!r}; only one may have it.",
            remedy="Unplug one, or give one another label (which erases it): pkcs11-tool --init-token --label NAME",
            code="hardware-token-ambiguous",
        )
    for slot, flags in found:
        if flags & cryptoki.LOCKED:
            raise pin.locked(token)
        if flags & cryptoki.LAST_TRY:
            raise DeviceError(
                f"The hardware token {token.label!r} locks after one more wrong PIN, so no PIN is tried.",
                remedy=f"Enter the right PIN by hand: pkcs11-tool --module {word(token.module)} --token-label "
                f"{word(token.label)} --login -O",
                code="pin-last-try",
            )
        return slot
    labels = ", ".join(repr(label) for _, label, _ in there if label) or "none"
    raise DeviceError(
        f"There is no hardware token {token.label!r}; the module {token.module} shows: {labels}.",
        remedy="Plug it in, or correct provisioning.key.token; the agent's user must be allowed to see it "
        "(docs/how-to/hardware-keys.md).",
        code=MISSING,
    )


def _find(session: Session, kind: int, label: str) -> list[int]:
    return session.find({cryptoki.CLASS: kind, cryptoki.LABEL: label.encode()})


def _only_key(session: Session, key: HardwareKey) -> int:
    found = _find(session, cryptoki.PRIVATE_KEY, key.label)
    if len(found) == 1:
        return found[0]
    how_many = f"{len(found)} private keys" if found else "no private key"
    raise DeviceError(
        f"The hardware token {key.token.label!r} has {how_many} with the label {key.label!r}.",
        remedy=f"See what is there: pkcs11-tool --module {word(key.token.module)} --token-label "
        f"{word(key.token.label)} --login -O",
        code="hardware-token-key-missing",
    )
