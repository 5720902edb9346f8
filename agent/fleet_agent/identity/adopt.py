"""A certificate and key that the device has already: read, looked at, and made the plan of a walk.

The files are not touched; what is in use afterwards is a copy in the state directory. A key in a hardware token stays
there.
"""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent import files
from fleet_agent.config import checks, pkcs11_uri
from fleet_agent.config.identity import Identity
from fleet_agent.config.paths import CREDENTIAL, resolve_path
from fleet_agent.config.settings import Settings
from fleet_agent.config.shape import WrongValueError
from fleet_agent.credentials import certificates
from fleet_agent.credentials.model import KeyPair
from fleet_agent.credentials.pair import read_pair
from fleet_agent.errors import AgentError, DeviceError, StateDirectoryError
from fleet_agent.identity.configured import hardware_key, require_section
from fleet_agent.provisioning.dependencies import Call

if TYPE_CHECKING:
    from fleet_agent.provisioning.model import Plan

# The common name of every certificate that AWS IoT makes: nobody's name.
_FROM_AWS = "AWS IoT Certificate"


def read(settings: Settings) -> KeyPair:
    """The given certificate and key.

    Raises:
        DeviceError: A file of them cannot be read.
    """
    certificate, private_key = require_section(settings.identity.pair, "identity")
    path = resolve_path(certificate, os.environ)
    if pkcs11_uri.is_uri(private_key):
        return read_pair(path, hardware_key(private_key, settings), "device")
    return read_pair(path, resolve_path(private_key, os.environ), "device")


def plan(settings: Settings, pair: KeyPair, call: Call) -> "Plan":
    """Checks the pair to adopt: certificate and key match, and the thing has a name.

    Args:
        settings: Name the endpoint, and say how the thing is named.
        pair: As ``read`` gave it.
        call: Calls what needs cryptography.

    Raises:
        DeviceError: They do not belong together, or no thing name is given.
    """
    from fleet_agent.provisioning.model import Given, Plan

    leaf = call(certificates.checked_leaf, pair)
    given = Given(
        pair=pair,
        certificate_id=leaf.certificate_id,
        thing_name=_thing_name(settings.identity, leaf.common_name),
        dates=leaf.dates,
        is_from_aws=leaf.common_name == _FROM_AWS,
    )
    return Plan(
        endpoint=settings.endpoint,
        template="",
        method="given",
        key_type="",
        parameters={},
        given=given,
    )


def _thing_name(identity: Identity, common_name: str | None) -> str | None:
    if identity.thing_name is not None:
        return identity.thing_name
    if identity.thing_name_from == "client-id":
        return None
    if common_name is None or common_name == _FROM_AWS or not _is_name(common_name):
        said = f"has the common name {common_name!r}" if common_name else "has no common name"
        raise DeviceError(
            f"The certificate in {identity.certificate} {said}, which is not a thing's name.",
            remedy="Set it: --thing-name NAME, or identity.thing_name. To look it up: aws iot list-principal-things "
            "--principal CERTIFICATE-ARN. For a device without a thing: --thing-name-from client-id",
            code="thing-name-missing",
        )
    return common_name


def _is_name(text: str) -> bool:
    try:
        checks.thing_name(text)
    except WrongValueError:
        return False
    return True


def delete_files(identity: Identity) -> tuple[list[str], list[str]]:
    """Deletes the files that an identity was adopted from, the key first; what cannot be deleted is reported.

    Returns:
        The files deleted, and the references that stay as they are.

    Raises:
        StateDirectoryError: A file cannot be deleted; the identity stands all the same.
    """
    deleted, stay = [], []
    for reference in reversed(identity.pair or ()):
        if pkcs11_uri.is_uri(reference) or reference.startswith(CREDENTIAL):
            stay.append(reference)
            continue
        try:
            files.remove(Path(reference))
        except AgentError as error:
            raise StateDirectoryError(
                f"The identity was adopted, but {reference} could not be deleted: {error.title}",
                remedy=f"Delete it as root: sudo rm {shlex.quote(reference)}",
                code="file-not-deleted",
            ) from error
        deleted.append(reference)
    return deleted, stay
