"""The sandbox's own HTTP route, ``/_sandbox/...``, on ministack's HTTP port; described in ``sandbox/README.md``."""

import json
from typing import Any

from iot_sandbox import certificates
from iot_sandbox.api import App, Message, Receive, Send
from iot_sandbox.bulk import REPORTS, BulkTasks
from iot_sandbox.calls import Calls
from iot_sandbox.fault_kinds import FaultError
from iot_sandbox.faults import Faults

ROOT = "/_sandbox/"
FOREVER = float("inf")

Answer = tuple[int, dict[str, Any]]


class Control:
    """Answers the route's requests."""

    def __init__(self, faults: Faults, calls: Calls, bulk: BulkTasks) -> None:
        self._faults = faults
        self._calls = calls
        self._bulk = bulk

    def text(self, path: str) -> str | None:
        """Returns what is plain text at this path, a report of a bulk registration task, or None."""
        return self._bulk.report(path) if path.startswith(REPORTS) else None

    def handle(self, method: str, path: str, body: bytes) -> Answer:
        """Returns the HTTP status and the JSON value for one request."""
        answer: Answer
        name, _, rest = path.removeprefix(ROOT).rstrip("/").partition("/")
        match method, name, rest:
            case "GET", "faults", "":
                answer = 200, {"faults": self._faults.listed()}
            case "POST", "faults", "":
                answer = self._add(body)
            case "DELETE", "faults", number:
                answer = self._remove(number)
            case "GET", "calls", "":
                answer = 200, self._calls.as_json()
            case "DELETE", "calls", "":
                self._calls.clear()
                answer = 200, {}
            case "POST", "tokens", "expire":
                answer = 200, {"certificates_deleted": certificates.forget_expired(FOREVER)}
            case _:
                answer = 404, _error(f"no {method} {path}; see sandbox/README.md")
        return answer

    def _remove(self, number: str) -> Answer:
        if not number:
            self._faults.clear()
        elif not number.isdecimal() or not self._faults.remove(int(number)):
            return 404, _error(f"no fault {number} is set")
        return 200, {}

    def _add(self, body: bytes) -> Answer:
        try:
            wanted = json.loads(body)
            fault = self._faults.add(**wanted)
        except FaultError as error:
            return 400, _error(str(error))
        except (ValueError, TypeError) as error:
            return 400, _error(f"a fault is a JSON object with operation and kind: {error}")
        return 201, fault.as_json()


def beside(app: App, control: Control) -> App:
    """Puts the route beside an ASGI application."""

    async def either(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(ROOT):
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        text = control.text(scope["path"])
        if text is None:
            status, value = control.handle(scope["method"], scope["path"], body)
            kind, text = b"application/json", json.dumps(value)
        else:
            status, kind = 200, b"text/plain; charset=utf-8"
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    return either


def _error(message: str) -> dict[str, str]:
    return {"error": message}
