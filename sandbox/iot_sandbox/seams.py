"""Puts the sandbox's parts in the place of ministack's, once, before anything is served."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from iot_sandbox import ground, managed_templates
from iot_sandbox.answers import situation
from iot_sandbox.billing import BillingGroups
from iot_sandbox.bulk import BulkTasks
from iot_sandbox.calls import Calls
from iot_sandbox.command_answers import CommandAnswers, with_response_topic
from iot_sandbox.commands import Commands
from iot_sandbox.connections import Connections, with_resources
from iot_sandbox.executions import Executions
from iot_sandbox.faults import Faults
from iot_sandbox.handshakes import KnownCertificates
from iot_sandbox.limits import Limits
from iot_sandbox.listeners import Listening, port_of
from iot_sandbox.provider import Provider
from iot_sandbox.provisioning import Provisioning, with_csr, with_csr_topic
from iot_sandbox.role_aliases import RoleAliases
from iot_sandbox.routing import with_former_signing
from iot_sandbox.session import Parts, session_class
from iot_sandbox.settings import Settings
from iot_sandbox.subscriptions import Subscriptions
from iot_sandbox.switches import Switches
from iot_sandbox.things import with_versions
from iot_sandbox.vending import with_variables

ALPN = "x-amzn-mqtt-ca"
# What a session keeps while its client is offline. AWS documents no number; ministack's 1000 would lose a burst.
QUEUED_MESSAGES = 100_000
_HOOKS_A_PROCESSOR = 2


def install(
    settings: Settings,
    listening: Listening,
    faults: Faults,
    calls: Calls,
    provisioning: Provisioning,
) -> None:
    """Wraps what has to be wrapped.

    Args:
        settings: the sandbox asked for.
        listening: the sockets really bound.
        faults: what is to go wrong.
        calls: where requests are recorded.
        provisioning: what answers provisioning requests.
    """
    address = f"{settings.endpoint}:{port_of(listening.mqtt[0])}"
    credentials = f"{settings.endpoint}:{port_of(listening.credentials)}"
    commands = Commands()
    executions = Executions(commands)
    _install_planes(commands, executions, Connections(settings.limits))
    ground.wrap("iot._parse_fleet_provisioning_topic", with_csr_topic)
    ground.wrap("iot._parse_fleet_provisioning_topic", with_response_topic)
    provider = Provider(settings.certificate_life, settings.certificate_chain)
    ground.wrap(
        "iot._fleet_provisioning_reply", lambda was: with_csr(was, settings.switches, provider)
    )
    parts = Parts(provisioning, CommandAnswers(executions, faults, calls))
    ground.wrap("iot._WSSession", lambda _: session_class(settings, faults, calls, parts))
    ground.hook_seconds(settings.switches.hook_seconds)
    ground.wrap("iot._run_provisioning_hook", lambda was: _called(was, settings.switches))
    omitted = settings.switches["jobs-omitted"]
    ground.wrap(
        "iot._job_payload_from_template", lambda was: managed_templates.with_managed(was, omitted)
    )
    subscriptions = Subscriptions()
    ground.wrap("iot.broker_subscribe", subscriptions.subscribing)
    ground.wrap("iot.broker_unsubscribe", subscriptions.unsubscribing)
    ground.wrap(
        "iot._reserved_filter_subscribe_allowed", lambda was: _within(was, settings.limits)
    )
    if settings.limits.has("unsuback"):
        ground.wrap("iot._make_unsuback", _forgiving)
    ground.wrap("iot._update_thing", with_versions)
    ground.keep_queued(QUEUED_MESSAGES)
    ground.keep_signing_keys()
    ground.wrap("iot._endpoint_address", lambda was: _data_endpoint(was, address))
    addresses = {"iot:Data-ATS": address, "iot:CredentialProvider": credentials}
    ground.wrap("iot._describe_endpoint", lambda was: _describe_endpoint(was, addresses))
    ground.wrap("iam_evaluator.resolve_principal", with_variables)
    ground.wrap("iot._mtls_server_cert_sans", lambda was: _with_names(was, settings))
    known = KnownCertificates()
    ground.wrap("iot._mtls_trust_anchors", known.anchors)
    ground.wrap("iot._mtls_active_registrations", known.registrations)
    ground.wrap("iot._mtls_build_ssl_context", _with_client_certificate)
    ground.wrap("iot._mtls_refuse", lambda was: _recording(was, calls))
    ground.wrap("app.detect_service", with_former_signing)
    ground.take_websockets()


def _install_planes(commands: Commands, executions: Executions, connections: Connections) -> None:
    """Answers what ministack has not of the HTTP planes: commands, managed templates, direct messages, connections."""
    ground.wrap("iot._route_request", commands.beside)
    ground.wrap("iot._route_request", executions.beside)
    ground.wrap("iot._route_request", connections.beside_things)
    ground.wrap("iot._route_request", managed_templates.beside)
    ground.wrap("iot_jobs_data.handle_request", executions.starting)
    ground.wrap("iot_data.handle_request", connections.beside)
    ground.wrap("iam_actions.extract_resource_arn", with_resources)


def install_control(bulk: BulkTasks, aliases: RoleAliases) -> None:
    """Answers what ministack has not of the control plane: bulk registration, billing groups, role aliases."""
    ground.wrap("iot._route_request", bulk.beside)
    ground.wrap("iot._route_request", BillingGroups().beside)
    ground.wrap("iot._route_request", aliases.beside)


Hook = Callable[..., Awaitable[dict[str, Any]]]


def _called(was: Hook, switches: Switches) -> Hook:
    """Calls a hook that ends with an error as often as the switch says, and few at once.

    Each that is under way has a process of its own, and a second of processor to start it: more than the machine can
    start in time would all be ended before they answer, and started again for ever. AWS has room for them; here they
    wait, before the time counts that AWS gives them.
    """
    room = asyncio.Semaphore(_HOOKS_A_PROCESSOR * (os.cpu_count() or 1))

    async def once(*arguments: object) -> dict[str, Any]:
        async with room:
            return await was(*arguments)

    async def run(*arguments: object) -> dict[str, Any]:
        for _ in range(int(switches["hook-calls"]) - 1):
            try:
                return await once(*arguments)
            except ground.RegistrationRejected as error:
                if situation(error.reply[1]) != "hook-raises":  # type: ignore[attr-defined]
                    raise
        return await once(*arguments)

    return run


def _data_endpoint(was: Callable[[str], str], address: str) -> Callable[[str], str]:
    return lambda kind: address if kind == "iot:Data-ATS" else was(kind)


Query = dict[str, str]
Response = tuple[Any, ...]


def _describe_endpoint(
    was: Callable[[Query], Response], addresses: dict[str, str]
) -> Callable[[Query], Response]:
    def describe(query: Query) -> Response:
        # AWS returns only a name, because its ports are fixed; ours are not, so the port is added.
        ours = addresses.get(query.get("endpointType", "iot:Data-ATS"))
        return ground.json_response({"endpointAddress": ours}) if ours else was(query)

    return describe


def _with_names(
    was: Callable[[], tuple[list[str], list[str]]], settings: Settings
) -> Callable[[], tuple[list[str], list[str]]]:
    def names() -> tuple[list[str], list[str]]:
        dns, addresses = was()
        more_dns, more_addresses = settings.certificate_names()
        return [*dict.fromkeys(dns + more_dns)], [*dict.fromkeys(addresses + more_addresses)]

    return names


def _within(was: Callable[[str], bool], limits: Limits) -> Callable[[str], bool]:
    return lambda topic_filter: limits.takes_filter(topic_filter) and was(topic_filter)


def _forgiving(was: Callable[..., bytes]) -> Callable[..., bytes]:
    """Answers success where MQTT 5 would answer that there was no subscription (17), as AWS does."""

    def unsuback(identifier: int, codes: list[int] | None = None, *more: object) -> bytes:
        return was(identifier, None if codes is None else [0] * len(codes), *more)

    return unsuback


def _with_client_certificate(was: Callable[[], ssl.SSLContext]) -> Callable[[], ssl.SSLContext]:
    def build() -> ssl.SSLContext:
        context = was()
        # ministack lets a client without a certificate do anything; AWS refuses it in the handshake.
        context.verify_mode = ssl.CERT_REQUIRED
        # What AWS accepts on port 443. Clients that offer none, or others, are served anyway, on any port.
        context.set_alpn_protocols([ALPN])
        return context

    return build


def _recording(
    was: Callable[..., Awaitable[None]], calls: Calls
) -> Callable[..., Awaitable[None]]:
    """Records the connects that never become a session: unknown or inactive certificates."""

    async def refuse(writer: asyncio.StreamWriter, certificate_id: str, level: int | None) -> None:
        calls.settle(calls.begin("connect", "", certificate_id), "rejected")
        await was(writer, certificate_id, level)

    return refuse
