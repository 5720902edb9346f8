"""Certificates for tests that AWS would never issue: for another name, expired, not valid yet."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleet_agent.credentials.model import KeyPair, Secret
from support.csr import Key, key_pem, make_key
from support.fleets import Claim

if TYPE_CHECKING:
    # Debian 12's cryptography does not have it.
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificatePublicKeyTypes as PublicKey,
    )

_NOW = dt.datetime.now(dt.UTC)
LONG_AGO = _NOW - dt.timedelta(days=3650)
YESTERDAY = _NOW - dt.timedelta(days=1)
TOMORROW = _NOW + dt.timedelta(days=1)
END_OF_TIME = dt.datetime(2199, 1, 1, tzinfo=dt.UTC)
FAR_AWAY = _NOW + dt.timedelta(days=3650)


def make_certificate(
    key: Key,
    *,
    valid_from: dt.datetime = LONG_AGO,
    valid_to: dt.datetime = FAR_AWAY,
    name: str = "test",
    public_key: "PublicKey | None" = None,
    issuer: str | None = None,
) -> str:
    """Makes a self-signed certificate, PEM: valid for ``name`` as a server, and its own CA.

    With ``public_key`` it is for that one, signed by ``key``, which is that of ``issuer``.
    """
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer or name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(public_key or key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid_from)
        .not_valid_after(valid_to)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def make_pair(
    folder: Path,
    *,
    valid_from: dt.datetime = LONG_AGO,
    valid_to: dt.datetime = FAR_AWAY,
    name: str = "test",
) -> Claim:
    """Makes a certificate that nobody issued, and its key, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    key = make_key()
    pair = Claim("", folder / "certificate.pem", folder / "key.pem")
    pair.certificate.write_text(
        make_certificate(key, valid_from=valid_from, valid_to=valid_to, name=name)
    )
    pair.private_key.write_bytes(key_pem(key))
    return pair


def loaded(pair: Claim) -> KeyPair:
    """What the agent makes of such files."""
    return KeyPair(
        certificate=pair.certificate.read_text(),
        private_key=Secret(pair.private_key.read_text()),
        certificate_file=str(pair.certificate),
        private_key_file=str(pair.private_key),
    )
