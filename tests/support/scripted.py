"""A scripted MQTT 5 server over mutual TLS: it keeps its limits and answers with whatever code a test wants.

server = Server(tmp_path)
device = server.make_device(tmp_path / "state", "pump")
with server:
    server.script("pump", Script(connack=137), Script(then=End(code=151, why="too many")), Script())
    ...
    server.wait(lambda: server.published("dt/pump/x"), "a reading")

A ``Script`` is what one connection of a client meets; the last one is met by all that follow. What the client does
against the limits that the server gave is in ``violations``, and ends the connection as MQTT 5 wants it.
"""

import collections
import contextlib
import dataclasses
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Self, TypeVar

from support import packets
from support.certificates import make_certificate
from support.csr import key_pem, make_key
from support.packets import Asked, Connect, Publish
from support.properties import Properties, Property
from support.provisioned import Device, provisioned

T = TypeVar("T")

# What AWS IoT Core says of itself.
AWS: Mapping[int, int] = {
    Property.RECEIVE_MAXIMUM: 100,
    Property.MAXIMUM_QOS: 1,
    Property.RETAIN_AVAILABLE: 1,
    Property.MAXIMUM_PACKET_SIZE: 149_504,
    Property.TOPIC_ALIAS_MAXIMUM: 8,
}

SILENCE = None  # no answer at all

_TOO_MANY, _ALIAS, _TOO_LARGE, _RETAIN, _QOS = 147, 148, 149, 154, 155
_MALFORMED, _PROTOCOL, _KEEP_ALIVE = 129, 130, 141


@dataclasses.dataclass(frozen=True)
class End:
    """How the server ends a connection: DISCONNECT with a code and words, a plain close (None), or raw bytes first."""

    code: int | None = None
    why: str = ""
    raw: bytes = b""

    def write(self) -> bytes:
        """What is sent before the close."""
        if self.code is None:
            return self.raw
        return packets.disconnect(
            self.code, {Property.REASON_STRING: self.why} if self.why else {}
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Script:
    """What one connection meets.

    Attributes:
        connack: Its code; ``SILENCE``: none comes. With a failure the connection is closed.
        why: The reason string of CONNACK, SUBACK and PUBACK failures.
        properties: Of the CONNACK, over ``AWS``'s; the limits among them are kept.
        subacks: By filter: the codes of its first requests; then, and of other filters, what was asked for.
            ``SILENCE``: the whole packet is not answered.
        pubacks: By topic, likewise.
        publishes: Sent as soon as something was subscribed to.
        enders: Topics; who publishes on one of them is thrown out.
        then: How it ends, and ``after`` what: ``connected``, ``subscribed``, ``published`` (unanswered),
            ``sent`` (``publishes`` left), ``acknowledged`` (one of them was).
    """

    connack: int | None = 0
    why: str = ""
    properties: Properties = dataclasses.field(default_factory=dict)
    subacks: Mapping[str, Sequence[int | None]] = dataclasses.field(default_factory=dict)
    pubacks: Mapping[str, Sequence[int | None]] = dataclasses.field(default_factory=dict)
    publishes: Sequence[Publish] = ()
    enders: Sequence[str] = ()
    then: End | None = None
    after: str = "subscribed"

    def limit(self, name: int, default: int) -> int:
        """A limit that this connection was given."""
        value = {**AWS, **self.properties}.get(name, default)
        assert isinstance(value, int)
        return value


class Server:
    """The server; a thread a connection, state under one lock.

    Attributes:
        connects: Every CONNECT, in order.
        received: Every PUBLISH with its client id and the code that it was answered with; aliases resolved.
        acknowledged: Topic and code of each PUBACK that came.
        subscribed: Every filter asked for, with its client id.
        retain_handling: The retain handlings asked for.
        violations: What clients did against the limits.
        ended: Client ids whose connection ended, whoever ended it.
        pings: Client ids of PINGREQs.
        configurations: The device configuration of a thing that is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        key = make_key()
        self._folder = folder
        self.ca_file = folder / "server.pem"
        self.ca_file.write_text(make_certificate(key, name="localhost"))
        (folder / "server.key").write_bytes(key_pem(key))
        self._trusted = ""
        self._listener = socket.create_server(("localhost", 0))
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._scripts: dict[str, collections.deque[Script]] = {}
        self._open: set[socket.socket] = set()
        self.times: dict[
            tuple[str, str, str], int
        ] = {}  # client, packet, topic or filter: how often
        self.configurations: dict[str, Mapping[str, str]] = {}
        self.connects: list[Connect] = []
        self.received: list[tuple[str, Publish, int | None]] = []
        self.acknowledged: list[tuple[str, str, int]] = []
        self.subscribed: list[tuple[str, str]] = []
        self.retain_handling: set[int] = set()
        self.violations: list[str] = []
        self.ended: list[str] = []
        self.pings: list[str] = []

    def make_device(self, state_dir: Path, thing_name: str) -> Device:
        """Writes the state of a device that is provisioned here; before the server runs."""
        device = provisioned(state_dir, thing_name, self.configurations.get(thing_name))
        self._trusted += device.certificate.read_text()
        return device

    def script(self, client_id: str, *scripts: Script) -> None:
        """What the next connections of a client meet; the last one stays."""
        with self._changed:
            self._scripts[client_id] = collections.deque(scripts)

    def wait(self, condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
        """Waits until something that the server sees is true; gives it."""
        limit = time.monotonic() + seconds
        with self._changed:
            while not (found := condition()):
                left = limit - time.monotonic()
                assert left > 0, f"not within {seconds:g} s: {what}"
                self._changed.wait(left)
            return found

    def connections(self, client_id: str) -> int:
        """How often a client connected."""
        return sum(connect.client_id == client_id for connect in self.connects)

    def published(self, topic: str) -> list[bytes]:
        """The payloads that came on a topic and were acknowledged."""
        return [
            each.payload for _, each, code in self.received if each.topic == topic and code == 0
        ]

    def happened(self, condition: Callable[[], None]) -> None:
        """Changes what is seen, and wakes who waits for it."""
        with self._changed:
            condition()
            self._changed.notify_all()

    def again(self, client_id: str, packet: str, name: str) -> int:
        """Counts something that comes again and again: 0 at the first time."""
        with self._changed:
            count = self.times.get((client_id, packet, name), 0)
            self.times[client_id, packet, name] = count + 1
            return count

    def next_script(self, client_id: str) -> Script:
        """What a connection that begins meets."""
        with self._changed:
            scripts = self._scripts.get(client_id) or collections.deque([Script()])
            return scripts.popleft() if len(scripts) > 1 else scripts[0]

    # Running --------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        trusted = self._folder / "trusted.pem"
        trusted.write_text(self._trusted)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, self._folder / "server.key")
        context.load_verify_locations(trusted)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
        threading.Thread(target=self._accept, args=(context,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            still = list(self._open)
        for each in still:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self, context: ssl.SSLContext) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(context, plain), daemon=True).start()

    def _serve(self, context: ssl.SSLContext, plain: socket.socket) -> None:
        with self._changed:
            self._open.add(plain)
        try:
            with context.wrap_socket(plain, server_side=True) as secured:
                with self._changed:
                    self._open.discard(plain)
                    self._open.add(secured)
                _Connection(self, secured).serve()
                with self._changed:
                    self._open.discard(secured)
        except (OSError, EOFError):
            plain.close()


class _Over(Exception):  # noqa: N818 - nothing failed
    """The connection has ended as it should."""


class _Connection:
    """One connection: reads, answers by the script, keeps the limits."""

    def __init__(self, server: Server, stream: ssl.SSLSocket) -> None:
        self._server = server
        self._stream = stream
        self._script = Script()
        self._client_id = ""
        self._aliases: dict[int, str] = {}
        self._unanswered: set[int] = set()
        self._sent: dict[int, Publish] = {}
        self._waiting: collections.deque[Publish] = collections.deque()
        self._takes = 65535
        self._has_begun = False

    def serve(self) -> None:
        """Until one of the two ends it."""
        try:
            kind, _, body = self._read()
            if kind != packets.CONNECT:
                return
            self._connect(packets.read_connect(body))
            while True:
                self._take(*self._read())
        except packets.MalformedError as error:
            with contextlib.suppress(_Over):
                self._violated(_MALFORMED, str(error))
        except (_Over, OSError, EOFError):
            pass
        finally:
            if self._client_id:
                self._server.happened(lambda: self._server.ended.append(self._client_id))

    # In and out -----------------------------------------------------------------------------------------------------

    def _read(self) -> tuple[int, int, bytes]:
        try:
            first = self._exactly(1)[0]
        except TimeoutError:
            self._violated(_KEEP_ALIVE, "nothing was heard within 1.5 times the keep-alive")
        length = shift = 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 128:
                break
        body = self._exactly(length)
        size = 1 + shift // 7 + length
        if size > self._script.limit(Property.MAXIMUM_PACKET_SIZE, 1 << 28):
            self._violated(_TOO_LARGE, f"a packet of {size} bytes")
        return first >> 4, first & 15, body

    def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            data = self._stream.recv(count - len(found))
            if not data:
                raise EOFError
            found += data
        return bytes(found)

    def _write(self, data: bytes) -> None:
        self._stream.sendall(data)

    def _end(self, how: End) -> NoReturn:
        if data := how.write():
            self._write(data)
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        raise _Over

    def _violated(self, code: int, what: str) -> NoReturn:
        words = f"{self._client_id}: {code}: {what}"
        self._server.happened(lambda: self._server.violations.append(words))
        self._end(End(code, what))

    def _why(self) -> Properties:
        return {Property.REASON_STRING: self._script.why} if self._script.why else {}

    # What comes -----------------------------------------------------------------------------------------------------

    def _connect(self, found: Connect) -> None:
        self._client_id = found.client_id
        script = self._script = self._server.next_script(found.client_id)
        takes = found.properties.get(Property.RECEIVE_MAXIMUM, self._takes)
        assert isinstance(takes, int)
        self._takes = takes
        self._server.happened(lambda: self._server.connects.append(found))
        if script.connack is SILENCE:
            self._exactly(1 << 20)
            return
        code = script.connack
        if found.will is not None and code == 0:
            _, qos, is_retained = found.will
            if qos > script.limit(Property.MAXIMUM_QOS, 2):
                code = _QOS
            elif is_retained and not script.limit(Property.RETAIN_AVAILABLE, 1):
                code = _RETAIN
        if code:
            self._write(packets.connack(code, self._why()))
            self._end(End())
        keep_alive = script.limit(Property.SERVER_KEEP_ALIVE, found.keep_alive)
        self._stream.settimeout(keep_alive * 1.5 or None)
        # AWS spells its limits out only where they differ from MQTT's defaults.
        stated = {
            name: value
            for name, value in {**AWS, **script.properties}.items()
            if (name, value) != (Property.RETAIN_AVAILABLE, 1)
            and not (name == Property.MAXIMUM_QOS and value == 2)
        }
        self._write(packets.connack(0, stated))
        if script.then and script.after == "connected":
            self._end(script.then)

    def _take(self, kind: int, flags: int, body: bytes) -> None:
        match kind:
            case packets.PUBLISH:
                self._publish(packets.read_publish(flags, body))
            case packets.PUBACK:
                self._acknowledge(*packets.read_acknowledged(body))
            case packets.SUBSCRIBE:
                self._subscribe(packets.read_asked(kind, body))
            case packets.UNSUBSCRIBE:
                asked = packets.read_asked(kind, body)
                self._write(packets.unsuback(asked.identifier, [0] * len(asked.filters)))
            case packets.PINGREQ:
                self._server.happened(lambda: self._server.pings.append(self._client_id))
                self._write(packets.packet(packets.PINGRESP, b""))
            case packets.DISCONNECT:
                raise _Over
            case _:
                self._violated(_PROTOCOL, f"a packet of type {kind}")

    def _subscribe(self, asked: Asked) -> None:
        def remember() -> None:
            self._server.subscribed.extend((self._client_id, name) for name, _ in asked.filters)
            self._server.retain_handling.update(asked.retain_handling)

        codes = [
            self._code("subscribe", name, self._script.subacks, qos) for name, qos in asked.filters
        ]
        self._server.happened(remember)
        if SILENCE not in codes:
            values = self._why() if any(code and code >= 128 for code in codes) else {}
            answer = packets.suback(asked.identifier, [code or 0 for code in codes], values)
            self._write(answer)
        if not self._has_begun:
            self._has_begun = True
            self._begin()

    def _begin(self) -> None:
        script = self._script
        if script.then and script.after == "subscribed":
            self._end(script.then)
        self._waiting.extend(
            dataclasses.replace(message, identifier=number)
            for number, message in enumerate(script.publishes, 1)
        )
        self._send()
        if script.then and script.after == "sent":
            self._end(script.then)

    def _send(self) -> None:
        """As many as the client takes at a time."""
        burst = b""
        while self._waiting and len(self._sent) < self._takes:
            message = self._waiting.popleft()
            self._sent[message.identifier] = message
            burst += packets.publish(message)
        if burst:
            self._write(burst)

    def _acknowledge(self, identifier: int, code: int) -> None:
        sent = self._sent.pop(identifier, None)
        if sent is None:
            self._violated(_PROTOCOL, f"PUBACK of {identifier}, which is not under way")
        entry = self._client_id, sent.topic, code
        self._server.happened(lambda: self._server.acknowledged.append(entry))
        if self._script.then and self._script.after == "acknowledged":
            self._end(self._script.then)
        self._send()

    def _publish(self, message: Publish) -> None:
        message = self._resolved(message)
        script = self._script
        if message.qos > script.limit(Property.MAXIMUM_QOS, 2):
            self._violated(_QOS, f"QoS {message.qos}")
        if message.retain and not script.limit(Property.RETAIN_AVAILABLE, 1):
            self._violated(_RETAIN, f"retained on {message.topic}")
        if message.topic in script.enders or (script.then and script.after == "published"):
            self._end(script.then or End())
        code = self._code("publish", message.topic, script.pubacks, 0)
        if code is SILENCE:
            self._unanswered.add(message.identifier)
            if len(self._unanswered) > script.limit(Property.RECEIVE_MAXIMUM, 65535):
                self._violated(_TOO_MANY, f"{len(self._unanswered)} messages under way")
        elif message.qos:
            self._write(
                packets.puback(message.identifier, code, self._why() if code >= 128 else {})
            )
        entry = self._client_id, message, code
        self._server.happened(lambda: self._server.received.append(entry))

    def _resolved(self, message: Publish) -> Publish:
        alias = message.properties.get(Property.TOPIC_ALIAS)
        if alias is None:
            return message
        assert isinstance(alias, int)
        if not 0 < alias <= self._script.limit(Property.TOPIC_ALIAS_MAXIMUM, 0):
            self._violated(_ALIAS, f"alias {alias}")
        if message.topic:
            self._aliases[alias] = message.topic
        elif alias not in self._aliases:
            self._violated(_ALIAS, f"alias {alias} stands for nothing")
        return dataclasses.replace(message, topic=self._aliases[alias])

    def _code(
        self, packet: str, name: str, wanted: Mapping[str, Sequence[int | None]], otherwise: int
    ) -> int | None:
        codes = wanted.get(name, ())
        count = self._server.again(self._client_id, packet, name) if codes else 0
        return codes[count] if count < len(codes) else otherwise
