"""Notices a card or an image that was copied into a second device: a problem, never a refusal of a good device."""

import logging
from pathlib import Path

from fleet_agent.credentials.model import Credential
from fleet_agent.errors import StateDirectoryError
from fleet_agent.health import table
from fleet_agent.health.problems import Problem

_log = logging.getLogger(__name__)

_SYSTEM = Path("/")


def load() -> None:
    """Imports what the functions here need."""
    from fleet_agent.device import fingerprint

    del fingerprint


def look(state_dir: Path, credential: Credential, root: Path = _SYSTEM) -> Problem | None:
    """Compares the hardware with what the identity was proven on; where nothing is wrong, writes down what it is."""
    from fleet_agent.device import fingerprint  # with OpenSSL: only where it is needed

    if problem := compare(state_dir, credential, root):
        return problem
    try:
        fingerprint.keep(state_dir, credential.certificate_id, root)
    except StateDirectoryError as error:  # a full disk is no reason to stop here
        _log.warning("%s %s", error.title, error.remedy)
    return None


def compare(state_dir: Path, credential: Credential, root: Path = _SYSTEM) -> Problem | None:
    """Compares the hardware with what the identity was proven on, and changes nothing."""
    from fleet_agent.device import fingerprint

    kind = fingerprint.difference(state_dir, credential.certificate_id, root)
    if kind is None:
        return None
    return table.HARDWARE_CHANGED.problem(
        title=f"The identity {credential.thing_name or credential.certificate_id} was proven on other hardware "
        f"(its {kind} differs): was this storage copied from another device?",
        remedy="If so, give this device its own identity: fleet-agent reset --yes, then provision. If its "
        f"hardware was replaced, remove {state_dir / fingerprint.FILE} and restart the agent.",
    )
