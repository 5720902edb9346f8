"""Keys and requests made in this process, where it has ``cryptography``: a hundredth of a process of openssl each."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_cloud.local import files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


def can_make() -> bool:
    """Whether this Python has what it takes."""
    return importlib.util.find_spec("cryptography") is not None


def key_and_request(path: Path, subject: str) -> str:
    """Makes a P-256 key in a file that does not exist yet; returns a request with this common name.

    Many are made: ``os.sync`` keeps them over a power cut.

    Raises:
        FleetCloudError: The file exists, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    files.create_secret(path, text.decode(), is_synced=False)
    return _request(key, subject)


def request(path: Path, subject: str) -> str | None:
    """Returns a request over the P-256 key in a file; nothing when there is something else in it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    text = files.read(path) or ""
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return _request(key, subject)
    return None


def _request(key: "EllipticCurvePrivateKey", subject: str) -> str:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509 import CertificateSigningRequestBuilder, Name, NameAttribute
    from cryptography.x509.oid import NameOID

    named = Name([NameAttribute(NameOID.COMMON_NAME, subject)])
    made = CertificateSigningRequestBuilder().subject_name(named).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()
