"""The three fleet provisioning operations as the sandbox answers them.

ministack knows CreateKeysAndCertificate and RegisterThing; CreateCertificateFromCsr is ours. Every request passes
``answer``: recorded, bent by the faults that are set, applied, and answered on the connection that asked, whether or
not it subscribed to the answer, as AWS does.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from iot_sandbox import answers, certificates, ground, half
from iot_sandbox.calls import Call, Calls
from iot_sandbox.faults import Fault, Faults, Plan, Request
from iot_sandbox.ownership_tokens import OwnershipTokens
from iot_sandbox.provider import Provider
from iot_sandbox.switches import Switches

CSR_TOPIC = "$aws/certificates/create-from-csr/json"
_MALFORMED = b'{"certificateId": "0a1b'
# ministack's word for each operation, and its own for the one it does not know
_OPERATIONS = {
    "create": "create-keys",
    "create-from-csr": "create-from-csr",
    "provision": "register-thing",
}

Document = dict[str, Any]
Reply = tuple[str, Document]


@dataclass(frozen=True)
class Exchange:
    """One request and the connection it came on.

    Attributes:
        session: the MQTT session that asked.
        topic: the request's topic.
        kind: ministack's word for the operation.
        template: the provisioning template named by the topic.
        payload: the request.
    """

    session: Any
    topic: str
    kind: str
    template: str | None
    payload: bytes

    @property
    def operation(self) -> str:
        """Its name among ``fault_kinds.OPERATIONS``."""
        return _OPERATIONS[self.kind]

    @property
    def scope(self) -> tuple[str, str]:
        """Account id and region of the connection."""
        return self.session.account_id, self.session.region


class Provisioning:
    """Answers provisioning requests."""

    def __init__(
        self, faults: Faults, calls: Calls, now: Callable[[], float], switches: Switches
    ) -> None:
        self._faults = faults
        self._calls = calls
        self._now = now
        self._switches = switches
        self._tokens = OwnershipTokens(switches)
        self._late: set[asyncio.Task[None]] = set()
        self._registered: dict[str, float] = {}

    async def answer(self, exchange: Exchange) -> None:
        """Serves one request on the connection that made it."""
        session = exchange.session
        request = Request(exchange.operation, session.client_id, (exchange.topic,))
        plan = self._faults.plan(request)
        call = self._calls.begin(
            exchange.operation, session.client_id, session.certificate_id, (exchange.topic,)
        )
        if plan.close == "before":
            self._calls.settle(call, "closed")
            await session.close()
            return
        suffix, document = await self._decide(exchange, plan, call)
        self._calls.settle(call, suffix, document.get("statusCode"))
        if plan.close == "after":
            await session.close()
            return
        suffix, payload = await self._edited(exchange, plan, call, (suffix, document))
        sending = self._send(exchange, plan, call, f"{exchange.topic}/{suffix}", payload)
        if plan.delay:
            # In parallel with the connection, which keeps working: a late answer may meet the next request.
            task = asyncio.create_task(sending)
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        else:
            await sending

    def seconds_registered(self, certificate_id: str | None) -> float | None:
        """Returns how long ago RegisterThing accepted a certificate; None if it did not since the start."""
        since = self._registered.get(certificate_id or "")
        return None if since is None else self._now() - since

    def is_spreading(self, certificate_id: str | None) -> bool:
        """Whether a certificate was registered so lately that it may not do anything yet."""
        age = self.seconds_registered(certificate_id)
        return age is not None and age < self._switches.spread_seconds

    async def _decide(self, exchange: Exchange, plan: Plan, call: Call) -> Reply:
        if plan.refusal is not None:
            return _rejected(plan.refusal)
        certificates.forget_expired()
        token = _token(exchange.payload) if exchange.kind == "provision" else None
        if refusal := self._refused_token(exchange, plan, token):
            return refusal
        behind = certificates.certificate_behind(exchange.scope, token)
        ministacks = await self._apply(exchange)
        fails = exchange.kind == "provision" and half.is_failing(exchange.scope, exchange.template)
        suffix, document = answers.turned(self._switches, ministacks, template_fails=fails)
        if suffix != "accepted":
            self._tokens.refused(token, answers.situation(ministacks[1]))
        elif made := document.get("certificateId"):
            self._calls.issued(call, made)
        elif token and behind:
            self._tokens.registered(token, exchange.session)
            self._registered[behind] = self._now()
            call.thing_name = document.get("thingName")
            call.certificates.append(behind)
        return suffix, document

    def _refused_token(self, exchange: Exchange, plan: Plan, token: str | None) -> Reply | None:
        if plan.token_reuse is None:
            found = self._tokens.refusal(token, exchange.session)
            return ("rejected", answers.refused(_invalid_token()[1], *found)) if found else None
        if not self._tokens.has_registered(token):
            return None
        if plan.token_reuse == "reject-if-active":  # noqa: S105  a mode, not a secret
            is_refused = certificates.status_behind(exchange.scope, token) == "ACTIVE"
        else:
            is_refused = plan.token_reuse == "reject"  # noqa: S105
        return _invalid_token() if is_refused else None

    @staticmethod
    async def _apply(exchange: Exchange) -> Reply:
        who = {"clientId": exchange.session.client_id}
        if exchange.session.certificate_id is not None:
            who["claimCertificateId"] = exchange.session.certificate_id
        try:
            async with ground.publishing_events():
                return await ground.provisioning_reply(
                    *exchange.scope, exchange.kind, exchange.template, exchange.payload, who
                )
        except Exception as error:  # noqa: BLE001  the cloud answers 500, it does not fall silent
            return _rejected(
                {"status_code": 500, "error_code": "InternalFailure", "message": repr(error)}
            )

    async def _edited(
        self, exchange: Exchange, plan: Plan, call: Call, reply: Reply
    ) -> tuple[str, bytes]:
        suffix, document = reply
        for fault in plan.edits:
            if fault.kind == "malformed":
                return suffix, _MALFORMED
            if fault.kind == "answer-other-key" and suffix == "accepted":
                other = await asyncio.to_thread(certificates.over_another_key, exchange.scope)
                self._calls.issued(call, other["certificateId"])
                document = {**document, **other}
            elif fault.kind == "drop-fields":
                left_out = fault.parameters["fields"]
                document = {k: v for k, v in document.items() if k not in left_out}
            elif fault.kind == "replace":
                return fault.parameters["answer"], _raw(fault)
        return suffix, json.dumps(document).encode()

    @staticmethod
    async def _send(
        exchange: Exchange, plan: Plan, call: Call, topic: str, payload: bytes
    ) -> None:
        await asyncio.sleep(plan.delay)
        for _ in range(plan.answers):
            if await exchange.session.deliver_answer(topic, payload):
                call.answers += 1


Topic = tuple[str, str | None]


def with_csr_topic(parse: Callable[[str], Topic | None]) -> Callable[[str], Topic | None]:
    """Wraps ministack's reader of request topics so that it knows CreateCertificateFromCsr's."""

    def parse_topic(topic: str) -> Topic | None:
        return ("create-from-csr", None) if topic == CSR_TOPIC else parse(topic)

    return parse_topic


def with_csr(
    reply: Callable[..., Awaitable[Reply]], switches: Switches, provider: Provider
) -> Callable[..., Awaitable[Reply]]:
    """Wraps ministack's provisioning so that it does CreateCertificateFromCsr, and what a failure leaves."""
    # Only what is unlike AWS's own way: from_csr(scope, csr) is where a test looks at what it was sent.
    unlike: dict[str, Any] = {}
    if provider != Provider():
        unlike["provider"] = provider
    if switches["csr-subject"] != "kept":
        unlike["keeps_subject"] = False
    leaves_thing = switches["half-registered"] == "the thing"

    async def reply_to(
        account: str, region: str, kind: str, template: str | None, payload: bytes, who: Document
    ) -> Reply:
        if kind != "create-from-csr":
            answer = await reply(account, region, kind, template, payload, who)
            if leaves_thing and answers.situation(answer[1]) == "policy-missing":
                half.leave_thing((account, region), template, _json_object(payload) or {})
            return answer
        request = _json_object(payload)
        if request is None:
            return _bad_request("InvalidPayload", "Message cannot be parsed")
        csr = request.get("certificateSigningRequest")
        try:
            # Off the loop: an RSA signature takes tens of milliseconds.
            made = await asyncio.to_thread(certificates.from_csr, (account, region), csr, **unlike)
        except certificates.CsrError as error:
            return _bad_request("InvalidCertificateSigningRequest", str(error))
        return "accepted", dict(made)

    return reply_to


def _json_object(payload: bytes) -> Document | None:
    try:
        document = json.loads(payload)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _token(payload: bytes) -> str | None:
    token = (_json_object(payload) or {}).get("certificateOwnershipToken")
    return token if isinstance(token, str) else None


def _raw(fault: Fault) -> bytes:
    payload = fault.parameters["payload"]
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def _rejected(refusal: Document) -> Reply:
    words = {
        "statusCode": refusal.get("status_code"),
        "errorCode": refusal.get("error_code"),
        "errorMessage": refusal.get("message"),
    }
    return "rejected", {name: value for name, value in words.items() if value is not None}


def _bad_request(code: str, message: str) -> Reply:
    return _rejected({"status_code": 400, "error_code": code, "message": message})


def _invalid_token() -> Reply:
    return _bad_request(
        "InvalidCertificateOwnershipToken", "Certificate ownership token is invalid."
    )
