"""The agent's configuration of a virtual device: the image's or one for this fleet, with its own serial number."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from fleet_agent.config.load import load
from fleet_agent.config.settings import Settings
from fleet_agent.errors import AgentError, ConfigurationError
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.fleet.connection import Identity, Server
from fleet_cloud.plan.hook_settings import SERIAL_PARAMETER


def of_image(path: Path) -> Settings:
    """Returns what an image's config.yaml says.

    Raises:
        FleetCloudError: It is wrong, or has no claim.
    """
    try:
        settings = load(path)
    except ConfigurationError as error:
        raise FleetCloudError(
            error.title, remedy=error.remedy, code=error.code, details=error.problems
        ) from error
    except AgentError as error:
        raise FleetCloudError(error.title, remedy=error.remedy, code=error.code) from error
    if settings.claim is None or settings.provisioning is None:
        raise FleetCloudError(
            f"{path} has no claim and no template, so its devices do not provision",
            remedy="pass the config.yaml of an image: fleet-cloud claim new --image DIR",
            code="configuration",
        )
    return settings


def of_fleet(server: Server, claim: Identity, template: str) -> Settings:
    """Returns what ``fleet-cloud config`` would say, with this claim."""
    given = {
        "endpoint": server.endpoint.host,
        "port": server.endpoint.port,
        "ca_file": str(server.ca_file.resolve()) if server.ca_file else None,
        "claim.certificate": str(claim.certificate),
        "claim.private_key": str(claim.key),
        "provisioning.template": template,
        "telemetry.topic": "dt/{thing}/{source}",
    }
    return load(claim.certificate.with_name("config.yaml"), overrides=given, required=False)


def of_device(
    settings: Settings, folder: Path, serial: str, parameters: Mapping[str, str], spread: float
) -> Settings:
    """Returns the configuration of one device.

    Sources of parameters are those of the hardware, which is not here: what is not text is left out.
    """
    provisioning = settings.provisioning
    if provisioning is None:
        raise AssertionError(settings)
    texts = {
        name: value for name, value in provisioning.parameters.items() if isinstance(value, str)
    }
    return dataclasses.replace(
        settings,
        state_dir=str(folder),
        provisioning=dataclasses.replace(
            provisioning,
            parameters={**texts, **parameters, SERIAL_PARAMETER: serial},
            spread=spread,
        ),
    )
