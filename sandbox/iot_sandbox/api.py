"""Calls of AWS IoT's control plane that the ``quota`` fault can hold back, by method and path."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from iot_sandbox.fault_kinds import API
from iot_sandbox.faults import Faults, Request

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_THROTTLED = 429
# (method, path) -> operation; a name may have anything but a slash in it.
_ROUTES = [
    (method, re.compile(path.replace("{}", "[^/]+")), operation)
    for operation, (method, path) in API.items()
]


def operation(method: str, path: str) -> str | None:
    """Names the operation; None for one that no quota is known of."""
    return next(
        (name for m, pattern, name in _ROUTES if m == method and pattern.fullmatch(path)), None
    )


def within_quotas(app: App, faults: Faults) -> App:
    """Has calls beyond a ``quota`` that is set answered as AWS answers them."""

    async def held(scope: Message, receive: Receive, send: Send) -> None:
        called = scope["type"] == "http" and operation(scope["method"], scope["path"])
        refusal = faults.plan(Request(called, "")).refusal if called else None
        if refusal is None:
            await app(scope, receive, send)
            return
        while (await receive()).get("more_body", False):
            pass
        headers = [
            (b"content-type", b"application/json"),
            (b"x-amzn-errortype", b"ThrottlingException"),
        ]
        body = json.dumps({"message": refusal["message"]}).encode()
        await send({"type": "http.response.start", "status": _THROTTLED, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return held
