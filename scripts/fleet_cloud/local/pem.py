"""PEM files from an operator: the certificates in them, or what they are instead and how that is converted."""

import base64
import binascii
import re
from pathlib import Path

from fleet_cloud.errors import UsageError
from fleet_cloud.local import files, quoting

_BLOCK = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s*(?P<body>.*?)\s*-----END (?P=label)-----", re.DOTALL
)
_DER_SEQUENCE = 0x30
_ESCAPED = r"-----\n"  # as in a string of JSON


def certificates(path: Path, flag: str) -> str | None:
    """Returns the certificates in a CA file, and nothing else in it; nothing when there is no such file.

    Args:
        path: The file.
        flag: Where it was named, for people.

    Raises:
        FleetCloudError: It is not text, or cannot be read.
        UsageError: It contains something else, something more, or a damaged certificate.
    """
    text = files.read(path)
    if text is None:
        return None
    found = [*_BLOCK.finditer(text)]
    for match in found:
        if match["label"] != "CERTIFICATE":
            raise _refused(
                path, flag, f"contains {_article(match['label'])}", _convert(match["label"], path)
            )
    bodies = [_body(match["body"]) for match in found]
    if not found or text.count("-----BEGIN") != len(found) or _ESCAPED in text:
        raise _refused(path, flag, *_without_certificate(text, path))
    for number, body in enumerate(bodies, 1):
        if body is None:
            raise _refused(
                path,
                flag,
                f"contains a damaged certificate, number {number} of {len(bodies)}",
                "download it again",
            )
    return "".join(map(_pem, filter(None, bodies)))


def of_key(text: str, path: Path) -> tuple[str, str] | None:
    """Returns why a text is not a usable private key, and what to type; nothing when that is not known."""
    given, new = quoting.word(path), quoting.word(path.with_suffix(".new"))
    if "ENCRYPTED" in text:
        return "it is protected by a passphrase", f"openssl pkey -in {given} -out {new}"
    if "PRIVATE KEY-----" not in text:
        for label in re.findall(r"-----BEGIN ([A-Z0-9 ]+)-----", text)[:1]:
            return f"it contains {_article(label)}, not a private key", "replace it by the key"
        return "it contains no private key in PEM form", "replace it by the key"
    if r"\n" in text:
        return r"its line breaks are written as \n", f'printf %b "$(cat {given})" > {new}'
    return None


def _without_certificate(text: str, path: Path) -> tuple[str, str]:
    given, new = quoting.word(path), quoting.word(path.with_suffix(".new.pem"))
    if _ESCAPED in text:
        return r"has its line breaks written as \n", f'printf %b "$(cat {given})" > {new}'
    if "-----BEGIN" in text:
        return "contains a truncated certificate", "download it again"
    return "contains no certificate", "name a PEM file: it has a line -----BEGIN CERTIFICATE-----"


def _convert(label: str, path: Path) -> str:
    given, new = quoting.word(path), quoting.word(path.with_suffix(".new.pem"))
    if label in {"X509 CERTIFICATE", "TRUSTED CERTIFICATE"}:
        return f"openssl x509 -in {given} -out {new}"
    if label in {"PKCS7", "CMS"}:
        return f"openssl pkcs7 -print_certs -in {given} -out {new}"
    return "name a file that contains only CA certificates"


def _article(label: str) -> str:
    shown = label.lower().replace("x509", "X509").replace("pkcs7", "PKCS#7 data")
    return f"an {shown}" if shown[0] in "aeioX" else f"a {shown}"


def _body(text: str) -> bytes | None:
    try:
        der = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return der if der[:1] == bytes([_DER_SEQUENCE]) else None


def _pem(der: bytes) -> str:
    encoded = base64.b64encode(der).decode()
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _refused(path: Path, flag: str, problem: str, remedy: str) -> UsageError:
    return UsageError(f"{flag} {path} {problem}", remedy=remedy)
