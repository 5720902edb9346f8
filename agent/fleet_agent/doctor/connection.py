"""What the agent reads before its first connection: the CA's file, the proxy and its password."""

from fleet_agent.credentials import certificates, pem_file
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Finding, Findings, Subject
from fleet_agent.errors import AgentError
from fleet_agent.session.route import ca_file, route

_ABOUT = Subject("connection")


def check(device: Device) -> Findings:
    """Checks it as the agent does at its start; an error here would end the agent."""
    if device.settings is None:
        return
    authority = device.settings.ca_file
    found: list[Finding] = []
    try:
        if authority is not None:
            _judge(authority)
    except AgentError as error:
        found += _ABOUT.error(error, authority)
    try:
        if not device.is_elsewhere(device.settings.proxy_credentials):
            route(device.settings, device.environment)
    except AgentError as error:
        found += _ABOUT.error(error, device.config)
    yield from found
    if authority is not None and not found:
        yield _ABOUT.ok("The CA file contains certificates.", authority)


def _judge(name: str) -> None:
    data = ca_file(name)
    # Something else beside them does no harm.
    alone = [block for kind, block in pem_file.blocks(data, name) if kind == pem_file.CERTIFICATE]
    certificates.read_ca("\n".join(alone).encode() or data, name)
