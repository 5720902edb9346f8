"""The credentials endpoint: HTTP/1.1 over mutual TLS on its own port; AWS has it at its own host name."""

import asyncio
import json
import re
import socket
import time
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from iot_sandbox import ground
from iot_sandbox.calls import Calls
from iot_sandbox.faults import Faults, Plan, Request
from iot_sandbox.role_aliases import RoleAliases
from iot_sandbox.vending import Asking, Refused, credentials

OPERATION = "credentials"
_PATH = re.compile(r"/role-aliases/([^/?]+)/credentials")
_IDLE_SECONDS = 60.0
_HTTP_OK = 200


class CredentialsEndpoint:
    """Answers ``GET /role-aliases/ALIAS/credentials``.

    Args:
        aliases: The role aliases there are.
        faults: What is to go wrong.
        calls: Where requests are recorded.
    """

    def __init__(self, aliases: RoleAliases, faults: Faults, calls: Calls) -> None:
        self._aliases = aliases
        self._faults = faults
        self._calls = calls

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Begins to answer."""
        context = await ground.server_context()
        return await asyncio.start_server(self._connection, sock=listener.dup(), ssl=context)

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while await self._request(reader, writer):
                pass
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
            pass  # a client that went, or sends no HTTP
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one; returns whether another may follow."""
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _IDLE_SECONDS)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }
        found = _PATH.fullmatch(path)
        if method != "GET" or found is None:
            _send(writer, 404, {"message": "Not Found", "traceId": str(uuid.uuid4())}, "")
            return True
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        asking = Asking(der, headers.get("x-amzn-iot-thingname", ""), unquote(found[1]))
        plan = self._faults.plan(Request(OPERATION, asking.thing, (asking.alias,)))
        return await self._answer(writer, asking, plan)

    async def _answer(self, writer: asyncio.StreamWriter, asking: Asking, plan: Plan) -> bool:
        call = self._calls.begin(OPERATION, asking.thing, asking.certificate_id, (asking.alias,))
        if plan.close == "before":
            self._calls.settle(call, "closed")
            return False
        kind = ""
        try:
            body: Any = {"credentials": self._credentials(asking, plan)}
            status = _HTTP_OK
            self._calls.settle(call, "accepted")
        except Refused as refused:
            status, body, kind = refused.status, {"message": refused.message}, refused.kind
            self._calls.settle(call, "rejected", status)
        if plan.delay:
            await asyncio.sleep(plan.delay)
        if plan.close == "after":
            return False
        if plan.answers:
            call.answers += 1
            _send(writer, status, _edited(body, plan), kind)
        await writer.drain()
        return True

    def _credentials(self, asking: Asking, plan: Plan) -> dict[str, str]:
        if refusal := plan.refusal:
            raise Refused(refusal["status_code"], refusal["message"], refusal["error_code"])
        changed = {fault.kind: fault.parameters for fault in plan.edits}
        lifetime = changed.get("expires-in", {}).get("seconds")
        token_bytes = changed.get("long-token", {}).get("bytes")
        return credentials(asking, self._aliases, lifetime, token_bytes)


def _edited(body: dict[str, Any], plan: Plan) -> Any:  # noqa: ANN401  JSON, or text that is none
    """Returns the body as the faults want it."""
    for fault in plan.edits:
        found = body.get("credentials", {})
        match fault.kind:
            case "drop-fields":
                for name in fault.parameters["fields"]:
                    found.pop(name, None)
            case "replace":
                return fault.parameters["payload"]
            case "malformed":
                return json.dumps(body)[:-5]
            case _:
                pass
    return body


def _send(writer: asyncio.StreamWriter, status: int, body: Any, kind: str) -> None:  # noqa: ANN401
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    headers: Mapping[str, str] = {
        "Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
        "x-amzn-RequestId": str(uuid.uuid4()),
        **({"x-amzn-ErrorType": kind} if kind else {}),
    }
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} {phrase}\r\n{head}\r\n".encode() + data)
