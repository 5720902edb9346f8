"""Keys and certificate signing requests for tests."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def make_key(kind: str = "ec-p256") -> Key:
    """Makes a key: ``ec-p256``, ``ec-p384``, ``ec-p521``, ``ec-p224``, ``ec-k256``, ``rsa-1024``, ``rsa-2048``."""
    curves: dict[str, ec.EllipticCurve] = {
        "ec-p224": ec.SECP224R1(),
        "ec-p256": ec.SECP256R1(),
        "ec-p384": ec.SECP384R1(),
        "ec-p521": ec.SECP521R1(),
        "ec-k256": ec.SECP256K1(),
    }
    if kind in curves:
        return ec.generate_private_key(curves[kind])
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))


def make_csr(key: Key, common_name: str = "device") -> str:
    """Signs a request; PEM."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: Key) -> bytes:
    """Gives a private key as PEM, PKCS#8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def is_key_of(key: Key, certificate_pem: str) -> bool:
    """Whether a certificate is over this key; compared as bytes, since Debian 12's cryptography compares no keys."""
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)
