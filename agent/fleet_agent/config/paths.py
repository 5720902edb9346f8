"""Paths of the agent: paths in the settings, the configuration file, the runtime directory."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from fleet_agent.config import pkcs11_uri
from fleet_agent.config.settings import CONFIG_FILE, STATE_DIR, Settings
from fleet_agent.errors import ConfigurationError
from fleet_agent.files.reserved import Reserved

CREDENTIAL = "credential:"
SERVICE_RUNTIME_DIR = Path("/run/fleet-agent")


def resolve_path(reference: str, environment: Mapping[str, str]) -> Path:
    """Returns the file that a setting names.

    Args:
        reference: A path, or ``credential:NAME``.
        environment: Where ``CREDENTIALS_DIRECTORY`` is looked up; the service manager sets it.

    Raises:
        ConfigurationError: A credential is named and the service manager passed none.
    """
    if not reference.startswith(CREDENTIAL):
        return Path(reference)
    name = reference.removeprefix(CREDENTIAL)
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigurationError(
            f"{reference} is configured, but $CREDENTIALS_DIRECTORY is not set",
            remedy=f"Start the agent as a systemd service with LoadCredential={name}:/path/of/it,"
            " or name the file's path instead.",
        )
    return Path(folder) / name


def reserved(settings: Settings, environment: Mapping[str, str]) -> Reserved:
    """Returns what is the agent's own: its state, the claim, and the files of secrets."""
    claim, key = settings.claim, settings.provisioning and settings.provisioning.key
    references = (
        claim and claim.certificate,
        claim and claim.private_key,
        key and key.pin_file,
        settings.proxy_credentials,
        *(
            reference
            for place in settings.move.allowed.values()
            for reference in (place.claim.certificate, place.claim.private_key)
        ),
    )
    paths = []
    for reference in references:
        if reference and not pkcs11_uri.is_uri(reference):
            with contextlib.suppress(ConfigurationError):  # reported where it is needed
                paths.append(resolve_path(reference, environment))
    return Reserved([Path(settings.state_dir)], paths)


def config_file(given: str | None, environment: Mapping[str, str]) -> tuple[Path, bool]:
    """Returns the configuration file, and whether somebody named it (then it must exist).

    Args:
        given: ``--config``, None when it was not given.
        environment: Where ``FLEET_AGENT_CONFIG`` is looked up.
    """
    named = given or environment.get("FLEET_AGENT_CONFIG")
    return Path(named or CONFIG_FILE), bool(named)


def configuration_files(path: Path) -> tuple[Path, ...]:
    """Returns the files that make up a configuration: the file itself, then its drop-ins.

    Hidden files and what editors and package managers leave behind (``x.yaml~``) are not read.

    Raises:
        OSError: The folder of drop-ins cannot be read.
    """
    folder = path.parent / "config.d"
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        # A file in its place may be a drop-in that was copied before there was a folder.
        if folder.exists():
            raise
        names = []
    found = [folder / n for n in names if n.endswith((".yaml", ".yml")) and not n.startswith(".")]
    return (path, *found)


def runtime_dir(state_dir: Path, given: str | None) -> Path:
    """Returns the runtime directory: as given, ``$RUNTIME_DIRECTORY``, the service's own, or the state's ``run``."""
    if given is not None:
        return Path(given)
    if from_unit := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(from_unit.split(":")[0])
    if state_dir == Path(STATE_DIR) and SERVICE_RUNTIME_DIR.is_dir():
        return SERVICE_RUNTIME_DIR
    return state_dir / "run"
