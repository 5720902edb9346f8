"""Each template parameter: its value, its source, and whether many devices would have the same value."""

from fleet_agent import device as parameters_of
from fleet_agent.config.paths import reserved
from fleet_agent.device import Unusable
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Findings, Subject

CHECK = "parameters"
_ABOUT = Subject(CHECK)


def check(device: Device) -> Findings:
    """Checks each parameter."""
    if device.settings is None or (wanted := device.settings.provisioning) is None:
        return
    found = parameters_of.examine(
        wanted.parameters,
        root=device.root,
        environment=device.environment,
        reserved=reserved(device.settings, device.environment),
    )
    if not found:
        yield _ABOUT.ok("The configuration has no template parameters.")
    for parameter in found:
        where = f"provisioning.parameters.{parameter.name}"
        if isinstance(parameter, Unusable):
            report = _ABOUT.warning if device.credential() else _ABOUT.failed
            yield report(
                "parameter-unusable",
                f"{parameter.name} has no usable value: {'; '.join(parameter.reasons)}.",
                where,
                "Choose another source or a literal, then check with fleet-agent parameters",
            )
            continue
        yield _ABOUT.ok(f"{parameter.name} = {parameter.value}  ({parameter.source})", where)
        for warning in parameter.warnings:
            yield _ABOUT.warning(
                "parameter-doubtful",
                f"{parameter.name}: {warning}",
                where,
                "Choose a better source: docs/reference/parameters.md",
            )
