"""Who signs what CreateCertificateFromCsr asks for: AWS, or a certificate provider of the account's own.

A provider's certificates live as long as it likes, and may come with the chain of its CA; AWS hands on what it signed.
"""

import datetime as dt
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from iot_sandbox import ground

_CLOCKS_DIFFER = dt.timedelta(minutes=1)
# As AWS has it.
_END = dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_CA_LIFE = dt.timedelta(days=3650)


@dataclass
class Provider:
    """Signs certificate requests.

    Attributes:
        life: seconds that its certificates live; None: as AWS's own, until the end of 2049.
        chain: whether an intermediate CA signs them, which then comes with each: no client trusts them without it.
    """

    life: int | None = None
    chain: bool = False
    _intermediate: tuple[str, str] | None = field(default=None, repr=False)

    def sign(self, csr: str) -> str:
        """Returns the certificate of a request, PEM, and the CA that signed it where that is not the root.

        Raises:
            ValueError: AWS, or the CA, does not take the request.
        """
        signed: str = ground.sign_certificate_request(*ground.ensure_ca(), csr)
        if self.life is None and not self.chain:
            return signed
        certificate, key = self._ca()
        return self._again(signed, certificate, key) + (certificate if self.chain else "")

    def _ca(self) -> tuple[str, str]:
        if not self.chain:
            return ground.ensure_ca()
        if self._intermediate is None:
            self._intermediate = _below(*ground.ensure_ca())
        return self._intermediate

    def _again(self, signed: str, ca: str, ca_key: str) -> str:
        """Makes the same certificate for another life, by another CA."""
        was = x509.load_pem_x509_certificate(signed.encode())
        issuer = x509.load_pem_x509_certificate(ca.encode())
        now = dt.datetime.now(dt.UTC)
        last = _END if self.life is None else now + dt.timedelta(seconds=self.life)
        first = now - min(_CLOCKS_DIFFER, (last - now) / 20)
        builder = (
            x509.CertificateBuilder()
            .subject_name(was.subject)
            .issuer_name(issuer.subject)
            .public_key(was.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
        )
        for extension in was.extensions:
            if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
                builder = builder.add_extension(extension.value, extension.critical)
        return _signed(builder, issuer, ca_key)


def _below(ca: str, ca_key: str) -> tuple[str, str]:
    """Makes an intermediate CA: its certificate and its key, PEM."""
    root = x509.load_pem_x509_certificate(ca.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a certificate provider's CA")])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return _signed(builder, root, ca_key), pem.decode()


def _signed(builder: x509.CertificateBuilder, issuer: x509.Certificate, ca_key: str) -> str:
    key = serialization.load_pem_private_key(ca_key.encode(), password=None)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    made = builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    return made.public_bytes(serialization.Encoding.PEM).decode()
