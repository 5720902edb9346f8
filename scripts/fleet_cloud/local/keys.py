"""Keys and requests made in this process, where it has ``cryptography``: a thousandth of a process of openssl each."""

import importlib.util
from pathlib import Path

from fleet_cloud.local import files


def can_make() -> bool:
    """Whether this Python has what it takes."""
    return importlib.util.find_spec("cryptography") is not None


def key_and_request(path: Path, subject: str) -> str:
    """Makes a P-256 key in a file that does not exist yet; returns a request with this common name.

    Many are made: ``os.sync`` keeps them over a power cut.

    Raises:
        FleetCloudError: The file exists, or cannot be written.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import CertificateSigningRequestBuilder, Name, NameAttribute
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    named = Name([NameAttribute(NameOID.COMMON_NAME, subject)])
    request = CertificateSigningRequestBuilder().subject_name(named).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    files.create_secret(path, text.decode(), is_synced=False)
    return request.public_bytes(pem).decode()
