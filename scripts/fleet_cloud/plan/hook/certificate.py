"""The public key of a certificate, without a library for it: Lambda has none. Pure."""

import base64
import hashlib
import re

_BLOCK = re.compile("-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION = 0xA0
_BEFORE_THE_KEY = 5  # serial number, signature's algorithm, issuer, validity, subject


def key_hash(pem: str) -> str:
    """Returns the SHA-256 of a certificate's public key (SubjectPublicKeyInfo, DER) in hexadecimal.

    Args:
        pem: The certificate; of a chain the first one counts.

    Raises:
        ValueError: It is no certificate.
    """
    found = _BLOCK.search(pem)
    if found is None:
        raise ValueError("no certificate in PEM")
    der = base64.b64decode(found[1])
    _, start, _ = _element(der, 0)
    _, at, _ = _element(der, start)
    tag, _, end = _element(der, at)
    if tag == _VERSION:
        at = end
    for _ in range(_BEFORE_THE_KEY):
        _, _, at = _element(der, at)
    _, _, end = _element(der, at)
    return hashlib.sha256(der[at:end]).hexdigest()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Returns an element's tag, where its content begins and where it ends.

    Raises:
        ValueError: It does not end.
    """
    try:
        tag, length, start = der[at], der[at + 1], at + 2
    except IndexError:
        raise ValueError("the certificate is cut short") from None
    if length & 0x80:
        digits = length & 0x7F
        length = int.from_bytes(der[start : start + digits], "big")
        start += digits
    if start + length > len(der):
        raise ValueError("the certificate is cut short")
    return tag, start, start + length
