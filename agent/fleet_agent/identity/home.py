"""The home of an identity: as configured, or where the device was moved.

A generation carries its endpoint and template, and after a move its port and CA, too: they hold wherever the settings
are used with it, until the configuration itself has that endpoint.
"""

import dataclasses

from fleet_agent.config.move import Destination
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import DeviceError


def at_home(settings: Settings, credential: Credential | None) -> Settings:
    """The settings as they hold with this credential: a destination still in them says the rest, such as its claim."""
    if credential is None or credential.home is None:
        return settings
    home = credential.home
    if place(settings, credential) == (settings.endpoint, settings.port):
        return settings
    wanted = settings.move.allowed.get(home.name)
    if wanted is not None and wanted.endpoint == credential.endpoint:
        return at(settings, wanted)
    if credential.endpoint == settings.endpoint:
        return settings
    provisioning = settings.provisioning and dataclasses.replace(
        settings.provisioning, template=credential.template
    )
    return dataclasses.replace(
        settings,
        endpoint=credential.endpoint,
        port=home.port,
        ca_file=home.ca_file,
        provisioning=provisioning,
    )


def place(settings: Settings, credential: Credential) -> tuple[str, int]:
    """Returns the endpoint and the port that a credential is for."""
    home = credential.home
    return credential.endpoint, settings.port if home is None else home.port


def at(settings: Settings, wanted: Destination) -> Settings:
    """The settings as they hold at a destination."""
    provisioning = settings.provisioning and dataclasses.replace(
        settings.provisioning, template=wanted.template
    )
    return dataclasses.replace(
        settings,
        endpoint=wanted.endpoint,
        port=wanted.port,
        ca_file=wanted.ca_file,
        claim=wanted.claim,
        provisioning=provisioning,
    )


def destination(settings: Settings, name: str) -> Destination:
    """Returns the configuration's entry for a destination.

    Raises:
        DeviceError: It names no such one.
    """
    found = settings.move.allowed.get(name)
    if found is None:
        known = ", ".join(settings.move.allowed) or "none"
        raise DeviceError(
            f"This device may not be moved to {name!r}, which is not in `move.allowed`.",
            remedy=f"Allowed destinations: {known}. As root, add an entry for another one (docs/how-to/move.md); "
            "for a running "
            "agent, then: systemctl reload fleet-agent",
            code="move-not-allowed",
        )
    return found


def is_there(settings: Settings, name: str, credential: Credential) -> bool:
    """Whether the identity in use is one of this destination already.

    Raises:
        DeviceError: There is no such destination.
    """
    wanted = destination(settings, name)
    return (wanted.endpoint, wanted.port) == place(settings, credential)
