"""The one judge of whether this device has an identity: what is in use, or why it is not usable.

A certificate or a key that is empty, cut off or something else is no identity, for no verb. That key and certificate
belong together is not looked at here: it takes cryptography, and the first connection shows it.
"""

from pathlib import Path

from fleet_agent import files
from fleet_agent.config import pkcs11_uri
from fleet_agent.credentials import pem_file
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.errors import CREDENTIAL_DAMAGED, STATE_DAMAGED, DeviceError, StateDirectoryError


def in_use(store: Store) -> Credential | None:
    """The credential in use; None: there is none yet.

    Raises:
        DeviceError: It is incomplete, or a part of it is not what it should be.
        StateDirectoryError: A file is damaged or cannot be read.
    """
    found = store.current()
    if found is not None:
        _judge(store, found)
    return found


def _judge(store: Store, found: Credential) -> None:
    certificate = Path(found.certificate_file)
    try:
        pem_file.certificate(_read(certificate), str(certificate))
    except DeviceError as error:
        raise _damaged(store, found, "certificate", certificate, error) from error
    if found.private_key_file is None or pkcs11_uri.is_uri(found.private_key_file):
        return
    key = Path(found.private_key_file)
    try:
        pem_file.private_key(_read(key), str(key))
    except DeviceError as error:
        raise _damaged(store, found, "private key", key, error) from error


def _read(path: Path) -> bytes:
    try:
        return files.read(path) or b""
    except StateDirectoryError as error:
        if error.code != STATE_DAMAGED:
            raise
        # A link, a folder, something far too large: as little a key as what is cut off.
        raise DeviceError(error.title, remedy=error.remedy, code=error.code) from error


def _damaged(
    store: Store, found: Credential, part: str, path: Path, error: DeviceError
) -> DeviceError:
    is_empty = error.code != STATE_DAMAGED and not _read(path).strip()
    title = f"{path} is empty: the {part} of this device is lost." if is_empty else error.title
    return DeviceError(title, remedy=_cure(store, found, part), code=CREDENTIAL_DAMAGED)


def _cure(store: Store, found: Credential, part: str) -> str:
    """Returns the remedy for a damaged identity; the key may have come from elsewhere, or be in a hardware token."""
    command = "fleet-agent provision --force"
    if store.is_key_given(found.generation):
        given = f"{command} --csr FILE --csr-key FILE"
        if part == "private key":
            return f"Copy the key there again, or provision again: {given}"
        return f"Copy the certificate there again ({_fetch(found)}), or provision again: {given}"
    if part == "private key":
        return (
            f"Provision again, with the claim: {command} (the ledger names the old certificate)."
        )
    return f"Copy the certificate there again ({_fetch(found)}), or provision again, with the claim: {command}"


def _fetch(found: Credential) -> str:
    return (
        f"aws iot describe-certificate --certificate-id {found.certificate_id} "
        "--query certificateDescription.certificatePem --output text"
    )
