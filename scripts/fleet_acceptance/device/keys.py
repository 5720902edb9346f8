"""Keys and certificate signing requests, made here, and what a certificate says."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from fleet_acceptance.device.mqtt import Identity


@dataclass(frozen=True)
class Key:
    """A private key in its file, and a request made with it."""

    path: Path
    request: str

    def identity(self, certificate_pem: str) -> Identity:
        """Writes its certificate beside it."""
        certificate = self.path.with_suffix(".crt")
        certificate.write_text(certificate_pem)
        return Identity(certificate, self.path)


def make(folder: Path, name: str, subject: str) -> Key:
    """Makes a P-256 key and a request for a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / f"{name}.key"
    path.touch(0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .sign(key, hashes.SHA256())
    )
    return Key(path, request.public_bytes(serialization.Encoding.PEM).decode())


def public_part(pem: str) -> bytes:
    """Gives the public key of a certificate or of a private key, as bytes to compare.

    Raises:
        ValueError: it is neither.
    """
    data = pem.encode()
    key: Any = (
        x509.load_pem_x509_certificate(data)
        if "CERTIFICATE" in pem
        else serialization.load_pem_private_key(data, password=None)
    ).public_key()
    return bytes(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def subject(certificate_pem: str) -> str:
    """Gives a certificate's subject."""
    return x509.load_pem_x509_certificate(certificate_pem.encode()).subject.rfc4514_string()


def end(certificate_pem: str) -> str:
    """Gives when a certificate ends."""
    made = x509.load_pem_x509_certificate(certificate_pem.encode())
    return f"{made.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"


def fingerprint(certificate_pem: str) -> str:
    """Gives the SHA-256 of its DER."""
    made = x509.load_pem_x509_certificate(certificate_pem.encode())
    return hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest()


def kind(private_pem: str) -> str:
    """Gives what kind of key it is, and how its file begins."""
    key = serialization.load_pem_private_key(private_pem.encode(), password=None)
    size = f"RSA {key.key_size}" if isinstance(key, rsa.RSAPrivateKey) else type(key).__name__
    return f"{size}, {private_pem.lstrip().splitlines()[0].strip('-')}"
