"""Keys, CSRs and certificates: made and compared here with ``cryptography``, imported only when needed.

Works with cryptography 38 (Debian 12) and later. Nothing here touches the network; private keys are PEM text in a
``Secret``.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fleet_agent.credentials import pem_file
from fleet_agent.credentials.model import Csr, HardwareKey, KeyPair, PrivateKey, Secret
from fleet_agent.credentials.validity import Validity
from fleet_agent.errors import DeviceError
from fleet_agent.record import record

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

# AWS's own Device Client refuses longer ones, and the HTTP twin of the call stops at 4096 characters.
MAX_CSR_BYTES = 2000
_MIN_RSA_BITS = 2048
_BROKEN_HASHES = ("md5", "sha1")
_TAKEN = "AWS IoT takes RSA from 2048 bits, P-256, P-384, P-521"
_PSS = "an RSA-PSS key, which TLS here cannot use"
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
        from fleet_agent.credentials.hsm import keys as hsm

        key = hsm.signer(private_key)
    else:
        key = _load_key(private_key, "the device's private key")
    request = builder.sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM).decode()
    return Csr(pem=pem, hash=_sha256(pem), public_key=_public_der(request))


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
        problem = _PSS if is_pss else _weakness(request.public_key())
    except Exception as error:  # cryptography's loaders raise many types for rubbish
        raise DeviceError(
            f"{name} holds no certificate signing request in PEM form that can be read.",
            remedy=remedy,
            code="csr-invalid",
        ) from error
    # What was parsed goes to AWS, never what came: a key may lie beside the request.
    text = request.public_bytes(serialization.Encoding.PEM).decode()
    if len(text) > MAX_CSR_BYTES:
        raise DeviceError(
            f"The CSR in {name} is {len(text)} bytes; AWS IoT takes one of at most {MAX_CSR_BYTES}.",
            remedy="Make it with fewer names and extensions, or with an EC P-256 key.",
            code="csr-too-long",
        )
    # cryptography says of these that the signature is wrong, which would send people to look at the key.
    if digest is not None and digest.name in _BROKEN_HASHES:
        raise DeviceError(
            f"The CSR in {name} is signed with {digest.name.upper()}, a hash that is broken.",
            remedy="Sign it with SHA-256: openssl req -new -sha256 -key device.key -subj /CN=device -out device.csr",
            code="csr-invalid",
        )
    if not is_signed:
        raise DeviceError(
            f"The CSR in {name} is not signed by its own key.", remedy=remedy, code="csr-invalid"
        )
    if problem:
        raise DeviceError(
            f"The CSR in {name} has {problem}; {_TAKEN}.",
            remedy=remedy,
            code="csr-weak-key",
        )
    return Csr(pem=text, hash=_sha256(text), public_key=_public_der(request))


def read_ca(pem: bytes, name: str) -> str:
    """The certificates of a CA file, as parsed: nothing else that is in the file is passed on.

    Raises:
        DeviceError: It holds something else, such as a private key, or no certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    blocks = pem_file.blocks(pem, name)
    strange = [kind for kind, _ in blocks if kind != pem_file.CERTIFICATE]
    if strange or not blocks:
        contents = (
            f"holds {pem_file.named(strange[0])}"
            if strange
            else f"holds no certificate: {pem_file.describe(pem)}"
        )
        raise DeviceError(
            f"{name} {contents}; a CA file holds certificates only.",
            remedy="Put the CA's certificates alone there; AWS IoT's is AmazonRootCA1.pem.",
            code="ca-invalid",
        )
    certificates = []
    for number, (_, block) in enumerate(blocks, 1):
        try:
            loaded = x509.load_pem_x509_certificate(block.encode())
        except Exception as error:
            raise DeviceError(
                f"Certificate {number} in {name} cannot be read.",
                remedy="Get the CA file again; AWS IoT's is AmazonRootCA1.pem.",
                code="ca-invalid",
            ) from error
        certificates.append(loaded.public_bytes(serialization.Encoding.PEM).decode())
    return "".join(certificates)


def _weakness(key: "PublicKeyTypes") -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey):
        return f"an RSA key of {key.key_size} bits" if key.key_size < _MIN_RSA_BITS else None
    if isinstance(key, ec.EllipticCurvePublicKey):
        is_known = key.curve.name in {"secp256r1", "secp384r1", "secp521r1"}
        return None if is_known else f"a key on the curve {key.curve.name}"
    return "a key that is neither RSA nor EC"


def public_key_of_key(private_key: PrivateKey, name: str) -> bytes:
    """The public key (DER) of a private key.

    Raises:
        DeviceError: ``name`` holds no readable private key, or the hardware token cannot be asked.
    """
    if isinstance(private_key, HardwareKey):
        from fleet_agent.credentials.hsm import keys as hsm

        return _encode(hsm.public_key(private_key))
    return _public_der(_load_key(private_key, name))


def public_key_of_certificate(certificate: str, name: str) -> bytes:
    """The public key (DER) of a certificate.

    Raises:
        DeviceError: ``name`` holds no certificate, or the certificate no public key.
    """
    loaded = _load_certificate(certificate, name)
    try:
        return _public_der(loaded)
    except Exception as error:  # many types
        raise DeviceError(
            f"The certificate in {name} has no usable public key (no point of its curve, or of an unknown kind).",
            remedy="Have another certificate made; this one is worth nothing.",
            code="certificate-invalid",
        ) from error


def chain(certificates: str, public_key: bytes | None, name: str) -> str:
    """Of the certificates of a text the one for a key, then the others, as parsed and nothing beside them, as PEM.

    A certificate provider may answer with its CA's beside the device's.

    Args:
        certificates: PEM.
        public_key: As ``public_key_of_certificate`` gives it; None: the first certificate is the device's.
        name: What the text is, for errors.

    Raises:
        DeviceError: ``name`` holds no certificate, or something else.
    """
    from cryptography.hazmat.primitives import serialization

    blocks = pem_file.blocks(certificates.encode(), name)
    texts = [text for kind, text in blocks if kind == pem_file.CERTIFICATE]
    loaded = [_load_certificate(text, name) for text in texts or [certificates]]
    parsed = list(
        dict.fromkeys(item.public_bytes(serialization.Encoding.PEM).decode() for item in loaded)
    )
    if public_key is not None and len(parsed) > 1:
        parsed.sort(key=lambda text: public_key_of_certificate(text, name) != public_key)
    return "".join(parsed)


def validity(certificate: str, name: str) -> Validity:
    """The dates of a certificate.

    Raises:
        DeviceError: ``name`` holds no certificate.
    """
    loaded = _load_certificate(certificate, name)
    # cryptography 42 and later; the older names warn there.
    if hasattr(loaded, "not_valid_after_utc"):
        return Validity(
            not_before=loaded.not_valid_before_utc.timestamp(),
            not_after=loaded.not_valid_after_utc.timestamp(),
        )
    utc = dt.UTC
    return Validity(
        not_before=loaded.not_valid_before.replace(tzinfo=utc).timestamp(),
        not_after=loaded.not_valid_after.replace(tzinfo=utc).timestamp(),
    )


@record
class Leaf:
    """What a device's own certificate says: the id that AWS IoT knows it by, its common name, its dates."""

    certificate_id: str
    common_name: str | None
    dates: Validity


def checked_leaf(pair: KeyPair) -> Leaf:
    """What the certificate says, once it is sure that the key is its own.

    Raises:
        DeviceError: One of them is damaged, they do not belong together, or AWS IoT takes no such key.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    check_pair(pair)
    loaded = _load_certificate(pair.certificate, pair.certificate_file)
    if problem := _weakness(loaded.public_key()):
        raise DeviceError(
            f"The certificate in {pair.certificate_file} has {problem}; {_TAKEN}.",
            remedy="Have one made for such a key, or let the device get one with a claim: fleet-agent provision",
            code="key-invalid",
        )
    names = loaded.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return Leaf(
        certificate_id=loaded.fingerprint(hashes.SHA256()).hex(),
        common_name=str(names[0].value) if names else None,
        dates=validity(pair.certificate, pair.certificate_file),
    )


def checked_validity(pair: KeyPair) -> Validity:
    """The certificate's dates, once it is sure that the key is its own: one call for both.

    Raises:
        DeviceError: One of them is damaged, or they do not belong together.
    """
    check_pair(pair)
    return validity(pair.certificate, pair.certificate_file)


def check_pair(pair: KeyPair) -> None:
    """Makes sure that the key is the certificate's.

    Raises:
        DeviceError: One of them is damaged, or they do not belong together.
    """
    wanted = public_key_of_key(pair.private_key, pair.private_key_file)
    if public_key_of_certificate(pair.certificate, pair.certificate_file) != wanted:
        if _is_further_down(pair, wanted):
            raise DeviceError(
                f"The certificate of the key {pair.private_key_file} is not the first one in {pair.certificate_file}: "
                "a CA's stands before it.",
                remedy="Put the device's certificate first, then the CA's.",
                code="key-mismatch",
            )
        raise DeviceError(
            f"The key in {pair.private_key_file} is not that of the certificate in "
            f"{pair.certificate_file}.",
            remedy="Put the two files of one pair there: they were made together.",
            code="key-mismatch",
        )


def _is_further_down(pair: KeyPair, public_key: bytes) -> bool:
    """Whether the key's certificate stands in its file, but not first."""
    _, *others = pem_file.blocks(pair.certificate.encode(), pair.certificate_file)
    for kind, text in others:
        if kind == pem_file.CERTIFICATE:
            with contextlib.suppress(DeviceError):
                if public_key_of_certificate(text, pair.certificate_file) == public_key:
                    return True
    return False


def _load_key(private_key: Secret, name: str) -> "PrivateKeyTypes":
    from cryptography.hazmat.primitives import serialization

    pem = pem_file.private_key(private_key.reveal().encode(), name)
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except Exception:  # noqa: BLE001 - many types
        raise DeviceError(
            f"{name} holds no readable private key in PEM form (truncated, encrypted, or something else).",
            remedy="Copy the file again; a key with a passphrase must be decrypted first.",
            code="key-invalid",
        ) from None  # the cause may quote the input


def _load_certificate(certificate: str, name: str) -> "x509.Certificate":
    from cryptography import x509

    pem = pem_file.certificate(certificate.encode(), name)
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except Exception as error:
        raise DeviceError(
            f"{name} holds no readable certificate in PEM form (truncated, or something else).",
            remedy="Copy the file again: it begins with -----BEGIN CERTIFICATE-----.",
            code="certificate-invalid",
        ) from error


def _public_der(
    holder: "x509.Certificate | x509.CertificateSigningRequest | PrivateKeyTypes",
) -> bytes:
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
