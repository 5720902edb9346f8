"""The one reader of a certificate and its key from two files: it takes from each only what was asked for."""

from pathlib import Path

from fleet_agent import files
from fleet_agent.credentials import pem_file
from fleet_agent.credentials.model import HardwareKey, KeyPair, PrivateKey, Secret
from fleet_agent.errors import DeviceError
from fleet_agent.pasted import word


def read_pair(certificate: Path, private_key: Path | HardwareKey, owner: str = "claim") -> KeyPair:
    """Reads certificate and key.

    Args:
        certificate: The certificate's file.
        private_key: The key's file, or which key of a hardware token it is.
        owner: Whose they are, for errors.

    Raises:
        DeviceError: A file cannot be read, or does not hold what it should.
    """
    text = pem_file.certificate(
        read_text(certificate, f"the {owner} certificate"), str(certificate)
    )
    key: PrivateKey
    if isinstance(private_key, HardwareKey):
        key = private_key
    else:
        data = read_text(private_key, f"the {owner}'s private key")
        key = Secret(pem_file.private_key(data, str(private_key)))
    return KeyPair(
        certificate=text,
        private_key=key,
        certificate_file=str(certificate),
        private_key_file=str(private_key),
    )


def read_text(path: Path, part: str) -> bytes:
    """The contents of a configured file, for a parser to check.

    Raises:
        DeviceError: It cannot be read.
    """
    try:
        return files.read_given(path)
    except OSError as error:
        raise DeviceError(
            f"Cannot read {part} {path}: {error.strerror}.",
            remedy=_permit(path)
            if isinstance(error, PermissionError)
            else "Name the file itself.",
            code="file-unreadable",
        ) from error


def _permit(path: Path) -> str:
    return (
        "Let the agent's user read it, and enter the folders above it: "
        f"chgrp _fleet-agent {word(path)}; chmod 640 {word(path)}"
    )
