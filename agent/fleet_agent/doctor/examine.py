"""All checks in order: first as the user who runs them, then, if that is root, as the agent's user."""

import os
from collections.abc import Callable, Iterator

from fleet_agent.credentials.model import KeyPair
from fleet_agent.doctor import (
    claim,
    clock,
    connection,
    credentials,
    identity,
    parameters,
    queue,
    rights,
    sdk,
    service,
    socket_unit,
    state,
    unit,
)
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Finding, Findings, Level, Subject
from fleet_agent.doctor.fix import fix
from fleet_agent.errors import AgentError
from fleet_agent.pasted import Arn
from fleet_agent.record import record
from fleet_agent.session.route import route


@record
class Online:
    """AWS IoT is to be checked, too; with what its ARNs begin with."""

    arn: Arn


def before(device: Device, *, fixes: bool) -> Iterator[Finding]:
    """Runs the checks that need root."""
    found = rights.check(device)
    yield from fix(found) if fixes else found
    yield from unit.check(device)
    yield from socket_unit.check(device)
    yield from service.check_unit(device)


def after(device: Device, online: Online | None) -> Iterator[Finding]:
    """Runs the checks as the agent's user."""
    if not device.is_anothers:  # only its owner can see what is wrong with it
        yield from _own(device)
    yield from clock.check(device)
    yield from credentials.check_users(device)
    yield from sdk.check()
    if not device.is_anothers and _has_place(device):
        yield from queue.check(device)
        yield from service.check_agent(device)
        if online is not None:
            yield from _online(device, online)


def _own(device: Device) -> Findings:
    yield from state.check(device)
    if _has_place(device):
        yield from identity.check(device)
    yield from claim.check(device)
    yield from connection.check(device)
    yield from parameters.check(device)


def _has_place(device: Device) -> bool:
    return device.state_dir.is_dir() or not os.path.lexists(device.state_dir)


def _online(device: Device, online: Online) -> Findings:
    about = Subject("way to AWS IoT")
    if device.settings is None:
        yield about.note(
            "no-configuration", "Not tried: without a configuration there is no endpoint."
        )
        return
    if not sdk.is_there():
        yield about.note("not-tried", "Not tried: the AWS IoT SDK is incomplete.")
        return
    from fleet_agent.doctor import cloud, network  # what imports the SDK, which may be broken

    if device.is_elsewhere(device.settings.proxy_credentials):
        yield about.note(
            "proxy-elsewhere",
            f"{device.settings.proxy_credentials} comes from the unit, so the connection cannot be tried from a shell.",
            device.settings.proxy_credentials or "",
            "Name a file instead, in a copy of the configuration (--config OTHER), or read journalctl -u fleet-agent",
        )
        return
    try:
        to = route(device.settings, device.environment)
    except AgentError:  # ``connection`` has reported it
        yield about.note("not-tried", "Not tried: the proxy settings cannot be used.")
        return
    pair = _claim_pair(device)
    found = list(network.check(to, pair, device.clock.wall()))
    yield from found
    if any(finding.level is Level.FAILED for finding in found):
        yield about.note("not-tried", "Connecting was not tried, because a step before it failed.")
        return
    if pair is not None:
        yield from _seen("as the claim", lambda: cloud.check_claim(device, to, pair, online.arn))
    yield from _seen("as the device", lambda: cloud.check_device(device, to, online.arn))
    yield from _seen("AWS credentials", lambda: credentials.check(device))


def _seen(name: str, check: Callable[[], Findings]) -> Findings:
    try:
        yield from check()
    except AgentError as error:
        yield from Subject(name).error(error)


def _claim_pair(device: Device) -> KeyPair | None:
    wanted = device.settings.claim if device.settings else None
    if wanted is None:
        return None
    try:
        pair = claim.read(wanted, device)
    except (OSError, AgentError):  # ``claim.check`` reports it
        return None
    return None if device.pin_is_elsewhere(pair.private_key) else pair
