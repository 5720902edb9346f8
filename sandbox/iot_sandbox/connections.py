"""Direct messages to a connected client, and what operators ask about connections. ministack has none of it.

AWS lists the codes of a direct message and not their texts; those are ours. What AWS says of a client that is gone is
kept for 30 minutes there, and so it is here.
"""

import asyncio
import base64
import binascii
import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from iot_sandbox import ground, routes
from iot_sandbox.limits import MAXIMUM_PAYLOAD, Limits
from iot_sandbox.refusals import (
    Document,
    RefusedError,
    Response,
    Route,
    missing,
    page,
)
from iot_sandbox.routes import Asked

_PATH = re.compile(r"/connections/(?P<client>.+?)(/(?P<part>messages|subscriptions))?")
_THING_PATH = re.compile(r"/things/(?P<thing>[^/]+)/connectivity-data")
GONE_SECONDS = 30 * 60
_LONGEST_WAIT = 15
_USUAL_WAIT = 5
_PAGE = 20
_ADMINISTRATIVE = 152
_FORMATS = {"UNSPECIFIED_BYTES": 0, "UTF8_DATA": 1}
_HEADER = "x-amz-mqtt5-"

Key = tuple[str, str, str]


class Connections:
    """Answers their part of the data plane, and a thing's connectivity on the control plane."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def beside(self, was: Route) -> Route:
        """Puts them beside ministack's data plane."""
        return routes.beside(was, _PATH, self._of)

    def beside_things(self, was: Route) -> Route:
        """Adds a thing's connectivity to ministack's routes."""
        return routes.beside(was, _THING_PATH, _of_thing, "POST")

    async def _of(self, asked: Asked) -> Response:
        key = _key(asked.found["client"])
        match asked.method, asked.found["part"]:
            case "POST", "messages":
                return await self._send(key, asked.headers, asked.body, asked.words)
            case "GET", "subscriptions":
                return _subscriptions(key, asked.words)
            case "GET", None:
                return _described(key)
            case "DELETE", None:
                return await _deleted(key, asked.words)
            case _:
                raise _invalid(f"Unsupported iot-data path: {asked.method}")

    async def _send(
        self, key: Key, headers: dict[str, str], body: bytes, asked: dict[str, str]
    ) -> Response:
        topic = asked.get("topic", "")
        properties, seconds = _properties(headers, asked), _wait(asked)
        is_reserved = topic.startswith("$") or not self._limits.takes_topic(topic)
        if is_reserved or not ground.is_topic(topic):
            raise _invalid("topic is not valid for publishing")
        if len(body) > MAXIMUM_PAYLOAD:
            raise RefusedError(
                "RequestEntityTooLargeException", "The payload has 128 KB at most", 413
            )
        session = _receiver(key, topic)
        acknowledged = session.send_directly(
            topic, body, properties, is_confirmed=asked.get("confirmation", "").lower() == "true"
        )
        if acknowledged is not None:
            try:
                await asyncio.wait_for(acknowledged, seconds)
            except TimeoutError as error:
                message = f"No PUBACK within {seconds} seconds"
                raise RefusedError("GatewayTimeoutException", message, 504) from error
        return ground.json_response({"message": "OK", "traceId": str(uuid.uuid4())})


def _receiver(key: Key, topic: str) -> Any:  # noqa: ANN401  ministack's session
    session = ground.connected_sessions.get(key)
    if session is None:
        kept = " It has a persistent session." if key in ground.stored_sessions else ""
        raise missing(f"The client is not connected.{kept}")
    if not session.may_receive(topic):
        message = f"The client {key[2]} is not authorized to receive on the topic {topic}"
        raise RefusedError("ForbiddenException", message, 403)
    if not session.has_room():
        message = "The client takes no more at the moment"
        raise RefusedError("ThrottlingException", message, 429)
    return session


def _key(client_id: str) -> Key:
    return ground.get_account_id(), ground.get_region(), client_id


def _properties(headers: dict[str, str], asked: dict[str, str]) -> bytes:
    found: list[tuple[int, object]] = []
    if form := headers.get(f"{_HEADER}payload-format-indicator"):
        if form not in _FORMATS:
            raise _invalid("payloadFormatIndicator is UNSPECIFIED_BYTES or UTF8_DATA")
        found.append((ground.PAYLOAD_FORMAT_INDICATOR, _FORMATS[form]))
    if content_type := asked.get("contentType"):
        found.append((ground.CONTENT_TYPE, content_type))
    if response_topic := asked.get("responseTopic"):
        if not ground.is_topic(response_topic):
            raise _invalid("responseTopic is not valid for publishing")
        found.append((ground.RESPONSE_TOPIC, response_topic))
    try:
        if correlation := headers.get(f"{_HEADER}correlation-data"):
            found.append((ground.CORRELATION_DATA, base64.b64decode(correlation, validate=True)))
        if users := headers.get(f"{_HEADER}user-properties"):
            for entry in json.loads(base64.b64decode(users, validate=True)):
                found.extend((ground.USER_PROPERTY, pair) for pair in entry.items())
    except (binascii.Error, ValueError, AttributeError, TypeError) as error:
        raise _invalid("a property is not what MQTT 5 knows, in base64") from error
    return ground.encoded_properties(found) if found else b""


def _wait(asked: dict[str, str]) -> int:
    seconds = asked.get("timeout", str(_USUAL_WAIT))
    if not seconds.isdecimal() or not 1 <= int(seconds) <= _LONGEST_WAIT:
        raise _invalid(f"timeout is from 1 to {_LONGEST_WAIT} seconds")
    return int(seconds)


def _described(key: Key) -> Response:
    state = ground.connectivity.get(key)
    session = ground.connected_sessions.get(key)
    now = time.time() * 1000
    if state is None or (session is None and now - state["timestamp"] > GONE_SECONDS * 1000):
        raise _unknown()
    return ground.json_response(
        {**_state(key), **_presence(state, is_connected=session is not None)}
    )


def _presence(state: Document, *, is_connected: bool) -> Document:
    if is_connected:
        return {"connectedSince": state["timestamp"]}
    return {"disconnectedSince": state["timestamp"], "disconnectReason": state["disconnectReason"]}


def _state(key: Key) -> Document:
    """Returns what is known of a connection now, or of the session it left."""
    session, stored = ground.connected_sessions.get(key), ground.stored_sessions.get(key)
    about: Document = {"connected": session is not None, "clientId": key[2]}
    if ground.things.get(key[2]) is not None:
        about["thingName"] = key[2]
    if session is not None:
        about |= session.described()
    elif stored is not None and stored.expiry_interval is not None:
        about |= {"cleanSession": False, "sessionExpiry": stored.expiry_interval}
    return about


def _subscriptions(key: Key, asked: dict[str, str]) -> Response:
    session, stored = ground.connected_sessions.get(key), ground.stored_sessions.get(key)
    if session is not None:
        granted = session.subscriptions()
    elif stored is not None:
        granted = dict.fromkeys(stored.subscriptions, 1)
    else:
        raise _unknown()
    found = [{"topicFilter": topic_filter, "qos": qos} for topic_filter, qos in granted.items()]
    return page("subscriptions", found, asked, _PAGE)


async def _deleted(key: Key, asked: dict[str, str]) -> Response:
    session = ground.connected_sessions.get(key)
    if session is None and key not in ground.stored_sessions:
        raise _unknown()

    def is_asked(name: str) -> bool:
        return asked.get(name, "false").lower() == "true"

    if session is not None:
        await session.end_for_operator(
            _ADMINISTRATIVE, without_will=is_asked("preventWillMessage")
        )
    if is_asked("cleanSession"):
        ground.stored_sessions.pop(key, None)
    return ground.json_response({})


async def _of_thing(asked: Asked) -> Response:
    name = asked.found["thing"]
    if ground.things.get(name) is None:
        raise missing(f"There is no thing {name}")
    if not ground.is_connectivity_indexed():
        message = "Fleet indexing does not keep the connectivity of things"
        raise RefusedError("IndexNotReadyException", message, 400)
    key = _key(name)
    state = ground.connectivity.get(key)
    if state is None:
        return ground.json_response({"thingName": name, "connected": False})
    about = {**_state(key), "thingName": name, "timestamp": state["timestamp"] / 1000}
    if not about["connected"]:
        about["disconnectReason"] = state["disconnectReason"]
    return ground.json_response(about)


def _unknown() -> RefusedError:
    return missing("Nothing is known of the client")


def _invalid(message: str) -> RefusedError:
    return RefusedError("InvalidRequestException", message, 400)


Authorize = Callable[..., Any]


def with_resources(was: Authorize) -> Authorize:
    """Wraps what names the resource a call is authorized on, so that it knows clients and commands."""

    def named(service: str, method: str, path: str, *rest: Any) -> Any:  # noqa: ANN401  ministack has no types
        _, body, _, region, account = rest
        scope = f"arn:aws:iot:{region}:{account}"
        if service == "iot-data" and (found := _PATH.fullmatch(path)):
            return f"{scope}:client/{found['client']}"
        if service == "iot" and (found := re.fullmatch(r"/commands/([^/]+)", path)):
            return f"{scope}:command/{found[1]}"
        if service == "iot-jobs-data" and path == "/command-executions":
            try:
                return json.loads(body)["commandArn"]
            except (ValueError, KeyError, TypeError):
                return "*"
        return was(service, method, path, *rest)

    return named
