"""One MQTT connection: ministack's session, with every CONNECT, SUBSCRIBE, PUBLISH and answer passing by us."""

import asyncio
from dataclasses import dataclass, replace
from typing import ClassVar

from iot_sandbox import ground
from iot_sandbox.calls import Calls
from iot_sandbox.command_answers import OPERATION as COMMAND_RESPONSE
from iot_sandbox.command_answers import CommandAnswers
from iot_sandbox.connection import AwsConnection
from iot_sandbox.fault_kinds import NOT_AUTHORIZED
from iot_sandbox.faults import Faults, Plan, Request
from iot_sandbox.packets import (
    ANSWERS,
    CONNACK,
    FAILURE,
    OPERATIONS,
    PUBLISH,
    SUBSCRIBE,
    Packet,
    reason_code,
)
from iot_sandbox.provisioning import Exchange, Provisioning
from iot_sandbox.settings import Settings
from iot_sandbox.switches import Switches
from iot_sandbox.wills import DelayedWills

_PROVISIONING_TOPICS = ("$aws/certificates/", "$aws/provisioning-templates/")


@dataclass(frozen=True)
class Parts:
    """What answers the requests that devices publish."""

    provisioning: Provisioning
    commands: CommandAnswers


class SandboxSession(AwsConnection):
    """A connection under faults, with its calls recorded."""

    faults: ClassVar[Faults]
    calls: ClassVar[Calls]
    parts: ClassVar[Parts]
    switches: ClassVar[Switches]

    # What the answer to the packet in hand said, and whether it is held back.
    _answer_kind: int | None = None
    _answer_code: int = 0
    _is_mute: bool = False

    async def deliver_answer(self, topic: str, payload: bytes) -> bool:
        """Sends an answer to this connection, subscribed or not; returns whether its policy lets it receive.

        QoS 1 for who subscribed with QoS 1, otherwise 0, unless the switches say otherwise.
        """
        # A late answer to a connection that is gone is lost.
        if self._cleaned_up or not self._policy_allows("iot:Receive", f"topic/{topic}"):
            return False
        granted = [
            self._sub_granted_qos[number]
            for number, topic_filter in self._sub_filters.items()
            if ground.is_match(topic_filter, topic)
        ]
        if not granted and self.switches["reply-unasked"] == "not delivered":
            return False
        at = self.switches["reply-qos"]
        qos = int(at) if at.isdecimal() else max(granted, default=0)
        await self.deliver_to_client(topic, payload, qos)
        return True

    def breached(self, packet: Packet, code: int) -> None:
        """Records a packet that was refused for a limit."""
        client_id = packet.client_id or self.client_id
        call = self.calls.begin(packet.operation, client_id, self.certificate_id, packet.topics)
        self.calls.settle(call, "rejected", code)

    async def send_bytes(self, b: bytes) -> None:
        """Sends a packet, unless it is the answer that is to be lost."""
        kind, code = reason_code(b)
        if kind == self._answer_kind:
            self._answer_code = max(self._answer_code, code)
            if self._is_mute or (kind == CONNACK and code >= FAILURE and self._hides_refusals):
                return
        await super().send_bytes(b)

    async def _answer_fleet_provisioning(
        self, topic: str, operation: str, template_name: str | None, payload: bytes
    ) -> None:
        if operation == COMMAND_RESPONSE:
            await self.parts.commands.answer(self, topic, payload)
            return
        exchange = Exchange(self, topic, operation, template_name, payload)
        await self.parts.provisioning.answer(exchange)

    async def _dispatch_packet(self, pkt_type: int, flags: int, body: bytes) -> bool:
        if pkt_type not in OPERATIONS:
            return bool(await super()._dispatch_packet(pkt_type, flags, body))
        packet = self.packet
        plan = self.faults.plan(self._request(packet))
        call = self.calls.begin(
            packet.operation,
            packet.client_id or self.client_id,
            self.certificate_id,
            packet.topics,
        )
        if plan.close == "before":
            self.calls.settle(call, "closed")
            return False
        if plan.refusal is None and self.parts.provisioning.is_spreading(self.certificate_id):
            plan = replace(plan, refusal={"reason_code": NOT_AUTHORIZED})
        if plan.delay:
            await asyncio.sleep(plan.delay)
        if plan.refusal is not None:
            self.calls.settle(call, "rejected", plan.refusal["reason_code"])
            return await self.refuse(packet, plan.refusal["reason_code"])
        goes_on = await self._under(plan, pkt_type, flags, body)
        refused = self._answer_code >= FAILURE or not goes_on
        self.calls.settle(
            call, "rejected" if refused else "accepted", self._answer_code if refused else None
        )
        call.answers = int(not self._is_mute)
        return goes_on and plan.close is None

    @property
    def _hides_refusals(self) -> bool:
        return self.switches["connect-refused"] == "closed"

    async def _under(self, plan: Plan, pkt_type: int, flags: int, body: bytes) -> bool:
        self._answer_kind, self._answer_code = ANSWERS[pkt_type], 0
        self._is_mute = plan.answers == 0
        try:
            goes_on = bool(await super()._dispatch_packet(pkt_type, flags, body))
        finally:
            self._answer_kind = None
        if pkt_type == SUBSCRIBE:
            await self._replace_subscriptions()
        return goes_on

    async def _replace_subscriptions(self) -> None:
        """A filter subscribed to again takes the place of itself [MQTT-3.8.4-3]; ministack would deliver twice."""
        latest = {topic_filter: number for number, topic_filter in self._sub_filters.items()}
        for number in self._sub_filters.keys() - latest.values():
            await ground.unsubscribe(number)
            self._sub_ids.remove(number)
            del self._sub_filters[number], self._sub_granted_qos[number]

    def _request(self, packet: Packet) -> Request:
        since = self.parts.provisioning.seconds_registered(self.certificate_id)
        return Request(
            packet.operation,
            packet.client_id or self.client_id,
            packet.topics,
            is_provisioning=packet.kind == PUBLISH
            and packet.topics[0].startswith(_PROVISIONING_TOPICS),
            registered_for=since,
        )


def session_class(
    settings: Settings, faults: Faults, calls: Calls, parts: Parts
) -> type[SandboxSession]:
    """Makes the class ministack is to open its sessions with."""
    SandboxSession.limits = settings.limits
    SandboxSession.switches = settings.switches
    SandboxSession.wills = DelayedWills()
    SandboxSession.faults = faults
    SandboxSession.calls = calls
    SandboxSession.parts = parts
    return SandboxSession
