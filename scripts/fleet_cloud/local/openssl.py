"""Keys and requests for claims, made here with the ``openssl`` command, so that no key travels."""

import base64
import binascii
import hashlib
import re
from pathlib import Path

from fleet_cloud.errors import CommandError, FleetCloudError
from fleet_cloud.local import files, pem
from fleet_cloud.local.shell import Command, Shell, Variable

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s(?P<body>[A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----"
)


def make_key(path: Path) -> Command:
    """Returns the command for a new P-256 key; its output is the key."""
    return Command(
        words=("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        secret_file=path,
    )


def make_request(key: Path, subject: str, into: Variable | None = None) -> Command:
    """Returns the command for a certificate signing request with this subject's common name."""
    return Command(
        words=("openssl", "req", "-new", "-key", str(key), "-subj", f"/CN={subject}"), into=into
    )


def make_key_and_request(key: Path, subject: str) -> Command:
    """Returns the command for a new P-256 key in a file, 0600, and a request, which it prints: one process for both.

    It would replace a key that exists: look first.
    """
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    return Command(
        words=("openssl", "req", "-new", *kind, "-keyout", str(key), "-subj", f"/CN={subject}")
    )


def check_pair(shell: Shell, certificate: Path, key: Path) -> None:
    """Checks that a key is the certificate's.

    Raises:
        FleetCloudError: It is not, or one of them cannot be read.
    """
    of_certificate = _public_key(
        shell, certificate, "x509", "-in", str(certificate), "-noout", "-pubkey"
    )
    if of_certificate != public_key(shell, key):
        raise FleetCloudError(
            f"{key} is not the key of {certificate}",
            remedy="find the two that belong together, or choose another --out for a new claim",
            code="key-mismatch",
        )


def public_key(shell: Shell, key: Path) -> str:
    """Returns the public half of a key file.

    Raises:
        FleetCloudError: It is not a key that openssl can read without a passphrase.
    """
    # "-passin pass:" keeps openssl from asking the terminal for a passphrase.
    return _public_key(shell, key, "pkey", "-in", str(key), "-pubout", "-passin", "pass:")


def certificate_id(pem: str, path: Path) -> str:
    """Returns the id that AWS IoT gives this certificate: the SHA-256 of its DER.

    Raises:
        FleetCloudError: The file contains no certificate.
    """
    found = _CERTIFICATE.search(pem)
    try:
        if found:
            return hashlib.sha256(base64.b64decode(found["body"], validate=False)).hexdigest()
    except binascii.Error:
        pass  # cut off in the middle: reported like a file without any
    raise FleetCloudError(
        f"{path} contains no complete certificate",
        remedy="remove it and run this again: the key beside it is used for a new certificate",
        code="certificate-unreadable",
    )


def _public_key(shell: Shell, path: Path, *words: str) -> str:
    try:
        return shell.run(Command(words=("openssl", *words)))
    except CommandError as error:
        # The other file is a certificate, so the error can say what the key file is instead.
        known = pem.of_key(files.read(path) or "", path) if words[0] == "pkey" else None
        why = known[0] if known else next(iter(error.said.splitlines()), "")
        otherwise = "choose another --out for a new claim, or move that file away"
        raise FleetCloudError(
            f"{path} cannot be read by openssl: {why}",
            remedy=f"{known[1]}; or {otherwise}" if known else otherwise,
            code="file-unreadable",
        ) from error
