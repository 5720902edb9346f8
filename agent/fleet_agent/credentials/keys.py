"""Keys and CSRs: made, read and judged here with ``cryptography``, imported only when needed.

Works with cryptography 38 (Debian 12) and later. Nothing here touches the network; private keys are PEM text in a
``Secret``.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fleet_agent.credentials import pem_file
from fleet_agent.credentials.model import Csr, HardwareKey, PrivateKey, Secret
from fleet_agent.errors import DeviceError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

# AWS's own Device Client refuses longer ones, and the HTTP twin of the call stops at 4096 characters.
MAX_CSR_BYTES = 2000
_MIN_RSA_BITS = 2048
_BROKEN_HASHES = ("md5", "sha1")
TAKEN = "AWS IoT accepts RSA from 2048 bits, P-256, P-384 and P-521"
_PSS = "an RSA-PSS key, which TLS cannot use here"
_RSA_PSS = bytes.fromhex("06092a864886f70d01010a")  # its object identifier, as a public key's kind


def load() -> None:
    """Imports what the functions here need: where they are called soon, while there is nothing else to do."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    del x509, hashes, serialization, ec, rsa


def make_private_key(kind: str) -> Secret:
    """Makes a key on the device: ``ec-p256`` or ``rsa-2048``; PKCS#8 PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if kind == "rsa-2048":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Secret(pem.decode())


def make_csr(private_key: PrivateKey) -> Csr:
    """A request for this key. AWS takes the subject as it is and never looks at it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "AWS IoT Certificate")])
    )
    if isinstance(private_key, HardwareKey):
        from fleet_agent.credentials.hardware_token import keys as hardware_keys

        key = hardware_keys.signer(private_key)
    else:
        key = _load_key(private_key, "the device's private key")
    request = builder.sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM).decode()
    return Csr(pem=pem, hash=_sha256(pem), public_key=public_der(request))


def read_csr(pem: bytes, name: str) -> Csr:
    """Checks a request that somebody else made.

    Args:
        pem: What the file holds.
        name: The file, for errors.

    Raises:
        DeviceError: It is no CSR, too long, not signed by its own key or with a broken hash, or its key is one that AWS
            refuses.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    remedy = "Make one: openssl req -new -key device.key -subj /CN=device -out device.csr"
    block = pem_file.request(pem, name)
    try:
        request = x509.load_pem_x509_csr(block.encode())
        digest = request.signature_hash_algorithm
        is_signed = request.is_signature_valid
        is_pss = _RSA_PSS in request.tbs_certrequest_bytes
        problem = _PSS if is_pss else weakness(request.public_key())
    except Exception as error:  # cryptography's loaders raise many types for rubbish
        raise DeviceError(
            f"{name} contains no readable certificate signing request in PEM form.",
            remedy=remedy,
            code="csr-invalid",
        ) from error
    # What was parsed goes to AWS, never what came: a key may lie beside the request.
    text = request.public_bytes(serialization.Encoding.PEM).decode()
    if len(text) > MAX_CSR_BYTES:
        raise DeviceError(
            f"The CSR in {name} is {len(text)} bytes; AWS IoT accepts at most {MAX_CSR_BYTES}.",
            remedy="Make it with fewer names and extensions, or with an EC P-256 key.",
            code="csr-too-long",
        )
    # cryptography says of these that the signature is wrong, which would send people to look at the key.
    if digest is not None and digest.name in _BROKEN_HASHES:
        raise DeviceError(
            f"The CSR in {name} is signed with {digest.name.upper()}, a hash that is not secure.",
            remedy="Sign it with SHA-256: openssl req -new -sha256 -key device.key -subj /CN=device -out device.csr",
            code="csr-invalid",
        )
    if not is_signed:
        raise DeviceError(
            f"The CSR in {name} is not signed by its own key.", remedy=remedy, code="csr-invalid"
        )
    if problem:
        raise DeviceError(
            f"The CSR in {name} has {problem}; {TAKEN}.",
            remedy="Make another key and its CSR: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
            "-keyout another.key -subj /CN=device -out another.csr",
            code="csr-weak-key",
        )
    return Csr(pem=text, hash=_sha256(text), public_key=public_der(request))


def weakness(key: "PublicKeyTypes") -> str | None:
    """Returns why AWS IoT would not accept this key, as part of a sentence; None: it would."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey):
        return f"an RSA key of {key.key_size} bits" if key.key_size < _MIN_RSA_BITS else None
    if isinstance(key, ec.EllipticCurvePublicKey):
        is_known = key.curve.name in {"secp256r1", "secp384r1", "secp521r1"}
        return None if is_known else f"a key on the curve {key.curve.name}"
    return "a key that is neither RSA nor EC"


def public_key_of_key(private_key: PrivateKey, name: str, *, tests_primes: bool = True) -> bytes:
    """The public key (DER) of a private key.

    Args:
        private_key: The key.
        name: What has it, for errors.
        tests_primes: Whether an RSA key's are tested: 35 ms, a second on a small board. Not where another library
            took the key already.

    Raises:
        DeviceError: ``name`` holds no readable private key, or the hardware token cannot be asked.
    """
    if isinstance(private_key, HardwareKey):
        from fleet_agent.credentials.hardware_token import keys as hardware_keys

        return _encode(hardware_keys.public_key(private_key))
    return public_der(_load_key(private_key, name, tests_primes=tests_primes))


def signs_for(private_key: Secret, public_key: bytes, name: str) -> bool:
    """Whether a key is that of a public key (DER), and signs: for RSA a fraction of the time of testing its primes.

    Raises:
        DeviceError: ``name`` holds no readable private key.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = _load_key(private_key, name, tests_primes=False)
    if public_der(key) != public_key:
        return False
    if isinstance(key, rsa.RSAPrivateKey):
        how = padding.PKCS1v15(), hashes.SHA256()
        try:
            key.public_key().verify(key.sign(b"", *how), b"", *how)
        except Exception:  # noqa: BLE001 - whatever OpenSSL says of numbers that do not fit
            return False
    return True


def _load_key(private_key: Secret, name: str, *, tests_primes: bool = True) -> "PrivateKeyTypes":
    from cryptography.hazmat.primitives import serialization

    load = serialization.load_pem_private_key
    pem = pem_file.private_key(private_key.reveal().encode(), name).encode()
    try:
        if not tests_primes:
            # Debian 12's cryptography always tests them: it knows no such argument.
            with contextlib.suppress(TypeError):
                return load(pem, password=None, unsafe_skip_rsa_key_validation=True)
        return load(pem, password=None)
    except Exception:  # noqa: BLE001 - many types
        raise DeviceError(
            f"{name} contains no readable PEM private key: it is truncated, encrypted, or something else.",
            remedy="Copy the file again; a key with a passphrase must be decrypted first.",
            code="key-invalid",
        ) from None  # the cause may quote the input


def public_der(
    holder: "x509.Certificate | x509.CertificateSigningRequest | PrivateKeyTypes",
) -> bytes:
    """Returns the public key of a certificate, key or request, as DER."""
    return _encode(holder.public_key())


def _encode(public: "PublicKeyTypes") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def hash_parameters(parameters: Mapping[str, str]) -> str:
    """SHA-256 (hex) of template parameters, the same in whatever order they stand."""
    return _sha256(json.dumps(dict(parameters), sort_keys=True))


def _sha256(text: str) -> str:
    # cryptography is loaded anyway where this is called; hashlib would load a second OpenSSL beside it (3 MB).
    from cryptography.hazmat.primitives import hashes

    digest = hashes.Hash(hashes.SHA256())
    digest.update(text.encode())
    return digest.finalize().hex()
