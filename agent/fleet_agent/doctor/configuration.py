"""The configuration: read as the agent reads it, every error at once."""

import re
from collections.abc import Callable
from pathlib import Path

from fleet_agent.config.paths import configuration_files
from fleet_agent.config.settings import Settings
from fleet_agent.doctor.finding import Findings, Subject
from fleet_agent.errors import AgentError

_ABOUT = Subject("configuration")

# Endpoints without -ats have a certificate whose CA is no longer trusted.
_OLD_ENDPOINT = re.compile(r"^[a-z0-9]+\.iot\.[a-z0-9-]+\.amazonaws\.com$")


def read(load: Callable[[], Settings], path: Path) -> tuple[Settings | None, Findings]:
    """Returns the settings, None if they cannot be read, and the findings about them."""
    try:
        settings = load()
    except AgentError as error:
        return None, _ABOUT.error(error, path)
    return settings, _judge(settings, path)


def _judge(settings: Settings, path: Path) -> Findings:
    more = len(configuration_files(path)) - 1 if path.exists() else 0
    drop_ins = f" with {more} drop-in{'s' if more > 1 else ''}" if more else ""
    source = f"{path}{drop_ins}" if path.exists() else "Flags alone"
    yield _ABOUT.ok(f"{source}: endpoint {settings.endpoint}:{settings.port}.", path)
    if _OLD_ENDPOINT.match(settings.endpoint):
        yield _ABOUT.failed(
            "endpoint-old",
            f"{settings.endpoint} is an endpoint of the old kind, without -ats, which AWS IoT no longer offers.",
            path,
            "Use the endpoint that `aws iot describe-endpoint --endpoint-type iot:Data-ATS` shows.",
        )
    if settings.provisioning is None:
        yield _ABOUT.note(
            "no-provisioning",
            "There is no section `provisioning`, so a device without an identity cannot get one.",
            path,
        )
