"""Reads the wanted part of a file of certificates, keys or requests, or names what the file holds instead.

Only what was asked for is passed on: a key beside a certificate stays where it is. Pure; damaged contents are for the
parsers to find.
"""

import base64
import re
from pathlib import PurePath

from fleet_agent.errors import DeviceError
from fleet_agent.pasted import word

CERTIFICATE = "CERTIFICATE"
REQUEST = "CERTIFICATE REQUEST"
# Other names of the same, which not every library takes.
_SAME = {"X509 CERTIFICATE": CERTIFICATE, "NEW CERTIFICATE REQUEST": REQUEST}
_KEYS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 ]+)-----\r?\n?(.*?)-----END \1-----", re.DOTALL | re.ASCII
)
# Marks at the beginning of a text (BOM).
_UTF8, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_DER_SEQUENCE = b"\x30"
# PKCS#12: a sequence that begins with its version, 3.
_PFX = re.compile(rb"\x30(?:\x81.|\x82..|\x83...|\x84....|\x80)\x02\x01\x03", re.DOTALL)
# -----BEGIN, as secret stores give it; and DER, as web pages do.
_PEM_IN_BASE64 = base64.b64encode(b"-----BEGI")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]+")
_PRINTABLE_FROM = 0x20
_CODES = {"x509": "certificate-invalid", "pkey": "key-invalid", "req": "csr-invalid"}
_PKCS7_OID = bytes.fromhex("06092a864886f70d0107")
# A certificate in another form, and what of OpenSSL reads it.
_OTHER_FORMS = {"TRUSTED CERTIFICATE": "x509", "PKCS7": "pkcs7 -print_certs"}
# PKCS#8 of an RSA-PSS key, as base64 has it at any of the three places: 1.2.840.113549.1.1.10.
_PSS_OID = bytes.fromhex("2a864886f70d01010a")


def certificate(data: bytes, name: str) -> str:
    """The certificates of a file, the first one first, as PEM.

    Args:
        data: What the file holds.
        name: The file, for errors.

    Raises:
        DeviceError: There is none.
    """
    found = [text for kind, text in blocks(data, name) if kind == CERTIFICATE]
    if not found:
        remedy = "Copy the file again: it begins with -----BEGIN CERTIFICATE-----."
        raise _lacking(data, name, "x509", "readable certificate", remedy)
    return "".join(found)


def private_key(data: bytes, name: str) -> str:
    """The private key of a file, as PEM.

    Raises:
        DeviceError: There is none, or one that cannot be used as it is.
    """
    found = blocks(data, name)
    mine = [(kind, text) for kind, text in found if kind in _KEYS]
    if not mine:
        remedy = "Copy the file again; a key with a passphrase must be decrypted first."
        raise _lacking(data, name, "pkey", "readable private key", remedy)
    kind, text = mine[0]
    if "Proc-Type:" in text:
        raise _encrypted(name)
    if kind == "PRIVATE KEY" and _is_pss(text):
        raise DeviceError(
            f"The key in {name} is only for RSA-PSS signatures; AWS IoT and the SDK accept plain RSA, or EC P-256.",
            remedy="Make another key and a certificate for it: openssl genpkey -algorithm EC -pkeyopt "
            f"ec_paramgen_curve:P-256 -out {word(PurePath(name))}",
            code="key-invalid",
        )
    return text


def request(data: bytes, name: str) -> str:
    """The one certificate signing request of a file, as PEM.

    Raises:
        DeviceError: There is none, or more than one.
    """
    found = [text for kind, text in blocks(data, name) if kind == REQUEST]
    if len(found) == 1:
        return found[0]
    if found:
        raise DeviceError(
            f"{name} contains {len(found)} certificate signing requests; it must contain one.",
            remedy=f"Write one into a separate file: openssl req -in {word(PurePath(name))} -out one.csr "
            "copies the first.",
            code="csr-invalid",
        )
    remedy = "Make one: openssl req -new -key device.key -subj /CN=device -out device.csr"
    raise _lacking(data, name, "req", "certificate signing request", remedy)


def blocks(data: bytes, name: str) -> list[tuple[str, str]]:
    """Every PEM block: its kind and its text, with plain line ends.

    Raises:
        DeviceError: The file is text of a kind in which no PEM can be found.
    """
    if data.startswith(_UTF16) or _looks_utf16(data):
        raise DeviceError(
            f"{name} is text in UTF-16; PEM is plain ASCII.",
            remedy=f"Convert it: iconv -f UTF-16 -t ASCII {word(PurePath(name))} > converted.pem",
            code="file-encoding",
        )
    text = data.removeprefix(_UTF8).decode("ascii", "replace")
    found = []
    for match in _BLOCK.finditer(text):
        if "\\n" in match[2]:
            raise DeviceError(
                f"{name} has the two characters \\n instead of line ends, as in JSON and environment files.",
                remedy=f"Convert it: sed 's/\\\\n/\\n/g' {word(PurePath(name))} > converted.pem",
                code="file-encoding",
            )
        kind = _SAME.get(match[1], match[1])
        # No empty lines: line ends that were converted twice make them.
        body = "\n".join(match[2].split())
        found.append((kind, f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"))
    return found


def instead(data: bytes, name: str, tool: str) -> tuple[str, str]:
    """What a file holds that OpenSSL's ``tool`` does not read as PEM, and the command that converts it, if any."""
    kinds = [kind for kind, _ in blocks(data, name)]
    file = word(PurePath(name))
    if not kinds:
        return _no_pem(data, file, tool)
    if "ENCRYPTED PRIVATE KEY" in kinds and tool == "pkey":
        return "it is encrypted with a passphrase", _encrypted(name).remedy
    kind = kinds[0]
    if tool == "x509" and kind in _OTHER_FORMS:
        command = _convert(_OTHER_FORMS[kind], file)
    elif tool == "pkey" and kind == "OPENSSH PRIVATE KEY":
        copy = f"(umask 077; cp {file} converted.pem)"
        command = f"Convert a copy: {copy}; ssh-keygen -p -m PEM -f converted.pem"
    else:
        command = {
            CERTIFICATE: "Name this file where a certificate is expected, and the right file here.",
            "PUBLIC KEY": "Name the private key's file.",
        }.get(kind, f"Name the right file: {file} is another file of the set.")
    return f"it is {named(kind)}", command


def _no_pem(data: bytes, file: str, tool: str) -> tuple[str, str]:
    if not data.strip():
        return "it is empty", ""
    if b"-----BEGIN " in data:
        return "it is truncated: -----BEGIN without -----END", ""
    if _PFX.match(data):
        parts = "-nocerts -nodes" if tool == "pkey" else "-clcerts -nokeys"
        command = f"(umask 077; openssl pkcs12 -in {file} {parts} -out converted.pem)"
        return "it is a PKCS#12 bundle", f"Extract it: {command}"
    if _looks_der(data):
        form = _OTHER_FORMS["PKCS7"] if _PKCS7_OID in data[:32] else tool
        return "it looks like DER, the binary form", _convert(f"{form} -inform DER", file)
    return _no_der(data.strip(), file, tool)


def _no_der(text: bytes, file: str, tool: str) -> tuple[str, str]:
    decode = f"Convert it: (umask 077; base64 -di {file}"
    if text.startswith(_PEM_IN_BASE64):
        return "it is PEM in base64", f"{decode} > converted.pem)"
    if text.startswith((b"MI", b"MH")) and _BASE64.fullmatch(text):
        command = f"{decode} | openssl {tool} -inform DER -out converted.pem)"
        return "it is base64 without -----BEGIN", command
    return "it is something else", ""


def _lacking(data: bytes, name: str, tool: str, part: str, remedy: str) -> DeviceError:
    why, command = instead(data, name, tool)
    return DeviceError(
        f"{name} contains no {part} in PEM form ({why}).",
        remedy=command or remedy,
        code=_CODES[tool],
    )


def _convert(form: str, file: str) -> str:
    return f"Convert it: openssl {form} -in {file} -out converted.pem"


def named(kind: str) -> str:
    """A kind of block, with its article."""
    return f"an {kind}" if kind[0] in "AEIOU" else f"a {kind}"


def _encrypted(name: str) -> DeviceError:
    return DeviceError(
        f"{name} contains no readable PEM private key: it is encrypted with a passphrase, which a "
        "device cannot enter.",
        remedy=f"Decrypt it: (umask 077; openssl pkey -in {word(PurePath(name))} -out decrypted.key)",
        code="key-invalid",
    )


def _is_pss(text: str) -> bool:
    import binascii

    try:
        return _PSS_OID in binascii.a2b_base64("".join(text.splitlines()[1:-1]))[:48]
    except ValueError:
        return False


def _looks_utf16(data: bytes) -> bool:
    # In either order of its bytes: zeros stand on both sides.
    return b"-\0-\0-\0-\0-\0B\0" in data


def _looks_der(data: bytes) -> bool:
    return data[:1] == _DER_SEQUENCE and any(byte < _PRINTABLE_FROM for byte in data[1:32])
