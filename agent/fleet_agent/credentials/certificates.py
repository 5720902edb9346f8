"""Certificates: read, compared with keys, dated; with ``cryptography``, imported only when needed.

Works with cryptography 38 (Debian 12) and later, as ``keys`` does.
"""

import contextlib
import datetime as dt
from typing import TYPE_CHECKING

from fleet_agent.credentials import pem_file
from fleet_agent.credentials.keys import TAKEN, public_der, public_key_of_key, weakness
from fleet_agent.credentials.model import KeyPair
from fleet_agent.credentials.validity import Validity
from fleet_agent.errors import DeviceError
from fleet_agent.record import record

if TYPE_CHECKING:
    from cryptography import x509


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
        words, command = pem_file.instead(pem, name, "x509")
        contents = pem_file.named(strange[0]) if strange else f"no certificate ({words})"
        is_other_form = len(strange) == len(blocks)
        remedy = "Write only the CA's certificates into it; AWS IoT's is AmazonRootCA1.pem."
        raise DeviceError(
            f"{name} contains {contents}; a CA file must contain only certificates.",
            remedy=(command if is_other_form else "") or remedy,
            code="ca-invalid",
        )
    certificates = []
    for number, (_, block) in enumerate(blocks, 1):
        try:
            loaded = x509.load_pem_x509_certificate(block.encode())
        except Exception as error:
            raise DeviceError(
                f"Certificate {number} in {name} cannot be read.",
                remedy="Download the CA file again; AWS IoT's is AmazonRootCA1.pem.",
                code="ca-invalid",
            ) from error
        certificates.append(loaded.public_bytes(serialization.Encoding.PEM).decode())
    return "".join(certificates)


def public_key_of_certificate(certificate: str, name: str) -> bytes:
    """The public key (DER) of a certificate.

    Raises:
        DeviceError: ``name`` holds no certificate, or the certificate no public key.
    """
    loaded = _load_certificate(certificate, name)
    try:
        return public_der(loaded)
    except Exception as error:  # many types
        raise DeviceError(
            f"The certificate in {name} has no usable public key: it is of an unknown kind, or not a point of its "
            "curve.",
            remedy="Have a new certificate issued; this one cannot be used.",
            code="certificate-invalid",
        ) from error


def chain(certificates: str, public_key: bytes | None, name: str) -> str:
    """Returns the certificates in a text as PEM, the one for a key first; only what was parsed.

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
    """Facts of a device's own certificate: its id in AWS IoT, its common name, its dates."""

    certificate_id: str
    common_name: str | None
    dates: Validity


def checked_leaf(pair: KeyPair) -> Leaf:
    """Returns the certificate's facts, once the key is known to match.

    Raises:
        DeviceError: One of them is damaged, they do not belong together, or AWS IoT takes no such key.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    check_pair(pair)
    loaded = check_kind(pair)
    names = loaded.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return Leaf(
        certificate_id=loaded.fingerprint(hashes.SHA256()).hex(),
        common_name=str(names[0].value) if names else None,
        dates=validity(pair.certificate, pair.certificate_file),
    )


def checked_validity(pair: KeyPair) -> Validity:
    """The dates of a certificate that TLS has used with its key, once both are known to belong together: one call.

    Raises:
        DeviceError: One of them is damaged, they do not belong together, or AWS IoT takes no such key.
    """
    check_pair(pair, tests_primes=False)
    check_kind(pair)
    return validity(pair.certificate, pair.certificate_file)


def check_kind(pair: KeyPair) -> "x509.Certificate":
    """Makes sure that AWS IoT takes a key of the certificate's kind; the certificate.

    Raises:
        DeviceError: It does not, or the certificate is damaged.
    """
    loaded = _load_certificate(pair.certificate, pair.certificate_file)
    if problem := weakness(loaded.public_key()):
        raise DeviceError(
            f"The certificate in {pair.certificate_file} has {problem}; {TAKEN}.",
            remedy="Have one issued for such a key: a claim with fleet-cloud claim new, a device's certificate with "
            "a claim.",
            code="key-invalid",
        )
    return loaded


def check_pair(pair: KeyPair, *, tests_primes: bool = True) -> None:
    """Makes sure that the key is the certificate's; ``tests_primes`` as for ``keys.public_key_of_key``.

    Raises:
        DeviceError: One of them is damaged, or they do not belong together.
    """
    wanted = public_key_of_key(pair.private_key, pair.private_key_file, tests_primes=tests_primes)
    if public_key_of_certificate(pair.certificate, pair.certificate_file) != wanted:
        if _is_further_down(pair, wanted):
            raise DeviceError(
                f"The certificate for the key {pair.private_key_file} is not the first one in {pair.certificate_file}: "
                "a CA certificate comes before it.",
                remedy="Put the device's certificate first, then the CA's.",
                code="key-mismatch",
            )
        raise DeviceError(
            f"The key in {pair.private_key_file} does not belong to the certificate in "
            f"{pair.certificate_file}.",
            remedy="Install a certificate and a key that were made together.",
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


def _load_certificate(certificate: str, name: str) -> "x509.Certificate":
    from cryptography import x509

    pem = pem_file.certificate(certificate.encode(), name)
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except Exception as error:
        raise DeviceError(
            f"{name} contains no readable PEM certificate: it is truncated, or something else.",
            remedy="Copy the file again: it begins with -----BEGIN CERTIFICATE-----.",
            code="certificate-invalid",
        ) from error
