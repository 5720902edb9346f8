"""The container endpoint: HTTP on 127.0.0.1, for SDKs that read ``AWS_CONTAINER_CREDENTIALS_FULL_URI``.

Any user of the device can connect, so the token in ``Authorization`` decides. A request is a GET without a body;
answers come in order, and a connection stays open until its program closes it or is idle for too long. After any other
request it is closed with the answer, since it is unknown where the next one begins. What cannot begin a request, such
as TLS, is refused at once: its program would wait for the end of a head that never comes.
"""

import errno
import json
import math
import re
import socket
from collections.abc import Callable
from urllib.parse import unquote

from fleet_agent.clock import Clock
from fleet_agent.errors import AgentError, Exit
from fleet_agent.local_clients.lingering_close import LingeringClose
from fleet_agent.process.listeners import HOST, Listeners
from fleet_agent.process.mailbox import WRITING, Mailbox
from fleet_agent.vending.alias import Cancel
from fleet_agent.vending.allow_list import UNKNOWN

MAX_CONNECTIONS = 64
LARGEST = 8192  # bytes of a request's head
IDLE = 60.0  # seconds without a request
RETRY = 10.0  # seconds between attempts to listen

_PATH = re.compile(r"/role-aliases/([^/?]+)/credentials")
_END = b"\r\n\r\n"
# Matches every prefix of a head: part of the first line, or all of it and lines of text that end in CR LF.
_BEGINNING = re.compile(
    rb"[!-~]*+(?: [!-~]*+(?: (?:[!-~]*+|HTTP/1\.[01]\r(?:\n(?:[\t -~\x80-\xff]++|\r\n)*+\r?)?))?)?"
)
_KEEPS = "HTTP/1.1"  # connections are persistent unless closed explicitly
_CLOSE = "Connection: close\r\n"
_UNAUTHORIZED, _NOT_FOUND, _BAD, _TOO_LARGE = 401, 404, 400, 431
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
# An error's exit status in a command → its HTTP status here; SDKs retry after 5xx.
_STATUSES = {Exit.REFUSED: 403, Exit.UNREACHABLE: 503, Exit.TEMPORARY: 503}

Reply = Callable[[bytes | AgentError], None]
# Takes a token, a role alias and a function for the answer's body; returns what to call when the program has gone, or
# None when the token is invalid.
Serve = Callable[[str, str, Reply], Cancel | None]


class ContainerEndpoint:
    """Listens on a port of 127.0.0.1.

    Args:
        port: TCP port.
        listeners: Keep it open when this process is replaced.
        mailbox: Where it is watched.
        clock: For deadlines.
        serve: Answers requests.
        opened: Called when it listens.
        failed: Called with the reason when it cannot listen; it is tried again.
    """

    def __init__(  # noqa: PLR0913 - everything it works with
        self,
        port: int,
        *,
        listeners: Listeners,
        mailbox: Mailbox,
        clock: Clock,
        serve: Serve,
        opened: Callable[[str | None], None],
        failed: Callable[[str], None],
    ) -> None:
        self._port = port
        self._listeners = listeners
        self._mailbox = mailbox
        self._clock = clock
        self._serve = serve
        self._opened = opened
        self._failed = failed
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self._lingering = LingeringClose(mailbox, clock, bytearray(LARGEST))
        self._listen_at = clock.monotonic()

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        oldest = min((connection.active_at for connection in self._connections), default=math.inf)
        return min(self._listen_at, oldest + IDLE, self._lingering.due)

    def act(self) -> None:
        """Listens, or retries; closes idle connections."""
        now = self._clock.monotonic()
        self._lingering.act()
        for connection in [
            connection for connection in self._connections if connection.active_at + IDLE <= now
        ]:
            connection.close()
        if self._listener is not None or now < self._listen_at:
            return
        self._listen_at = math.inf
        try:
            self._listener = self._listeners.listen_on(self._port)
        except OSError as error:
            self._listen_at = now + RETRY
            self._failed(f"cannot listen on {HOST}:{self._port}: {error.strerror}")
            return
        self._mailbox.watch(self._listener.fileno(), self._accept)
        self._opened(None)

    def close(self) -> None:
        """Closes all connections; new ones wait for the next image of this process."""
        for connection in list(self._connections):
            connection.close()
        self._lingering.close()
        self._stop_listening()
        self._listen_at = math.inf

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._mailbox.unwatch(self._listener.fileno())
            self._listener = None

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                # The event would repeat at once: retry later, when a descriptor may be free.
                self._stop_listening()
                self._listen_at = self._clock.monotonic() + RETRY
            return
        client.setblocking(False)
        if len(self._connections) >= MAX_CONNECTIONS:
            min(
                self._connections,
                key=lambda connection: (connection.is_waiting, connection.active_at),
            ).close()
        self._connections.add(
            _Connection(
                client,
                self._mailbox,
                self._clock,
                self._serve,
                self._connections.discard,
                self._lingering,
            )
        )


class _Connection:
    """One client: a request, its answer, the next request."""

    def __init__(
        self,
        client: socket.socket,
        mailbox: Mailbox,
        clock: Clock,
        serve: Serve,
        gone: "Callable[[_Connection], None]",
        lingering: LingeringClose,
    ) -> None:
        self._client = client
        self._mailbox = mailbox
        self._clock = clock
        self._serve = serve
        self._gone = gone
        self._lingering = lingering
        self._is_open = True
        self._is_last = False  # no request follows the one being answered
        self._is_ended = False  # nothing comes after what came
        self._came = bytearray()
        self._leaving = b""  # the rest of an answer that the client has not taken yet
        self._cancel: Cancel | None = None
        self.is_waiting = False
        self._is_taking = False
        self.active_at = clock.monotonic()
        mailbox.watch(client.fileno(), self._read)

    def close(self) -> None:
        """Closes it."""
        if self._is_open:
            self._leave()
            self._client.close()

    def _leave(self) -> None:
        self._is_open = False
        self._mailbox.unwatch(self._client.fileno())
        self._gone(self)
        if self._cancel is not None:
            self._cancel()

    def _read(self) -> None:
        self.active_at = self._clock.monotonic()
        try:
            data = self._client.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data and self.is_waiting:
            # It may have closed the side alone that it sends on.
            self._is_ended = True
            self._mailbox.unwatch(self._client.fileno())
            return
        if not data:
            self.close()
            return
        self._came += data
        self._next()

    def _next(self) -> None:
        """Answers complete requests, one at a time."""
        # An answer sent at once leads back here: pipelined requests must not recurse.
        if self._is_taking:
            return
        self._is_taking = True
        while self._is_open and not self.is_waiting and (end := self._came.find(_END)) >= 0:
            head = bytes(self._came[:end])
            del self._came[: end + len(_END)]
            self.is_waiting = True
            self._take(head)
        self._is_taking = False
        if not self._is_open:
            return
        if self.is_waiting:
            if len(self._came) > LARGEST:
                self.close()
        elif self._is_ended:
            self.close()
        elif len(self._came) > LARGEST:
            self._refuse(
                _TOO_LARGE, "too-large", f"The head of a request may have at most {LARGEST} bytes."
            )
        elif not _BEGINNING.fullmatch(self._came):
            self._refuse(_BAD, "bad-request", "Use HTTP/1.1: no TLS, and CR LF after each line.")

    def _refuse(self, status: int, code: str, title: str) -> None:
        """Answers a request that no other can follow."""
        self.is_waiting = self._is_last = True
        self._answer(status, _words(code, title))

    def _take(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, words = first.partition(" ")
        path, _, version = words.partition(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        is_kept = version == _KEEPS and "close" not in headers.get("connection", "").lower()
        self._is_last = has_body or method != "GET" or not is_kept
        if has_body or version not in (_KEEPS, "HTTP/1.0"):
            self._answer(_BAD, _words("bad-request", "Only GET without a body is supported."))
            return
        found = _PATH.fullmatch(path)
        if method != "GET" or found is None:
            title = "The only request is GET /role-aliases/NAME/credentials."
            self._answer(_NOT_FOUND, _words("not-found", title))
            return
        token = headers.get("authorization", "")
        self._cancel = self._serve(token, unquote(found[1]), self._reply)
        if self._cancel is None:
            title = "The Authorization header is not a valid token: fleet-agent credentials --token-file FILE"
            self._answer(_UNAUTHORIZED, _words("authorization-token-unknown", title))

    def _reply(self, found: bytes | AgentError) -> None:
        if not self._is_open:
            return
        if isinstance(found, AgentError):
            is_there = found.code != UNKNOWN
            status = _STATUSES.get(found.exit_status, 500) if is_there else _NOT_FOUND
            self._answer(status, _words(found.code, f"{found.title} {found.remedy}"))
        else:
            self._answer(200, found)

    def _answer(self, status: int, body: bytes) -> None:
        head = (
            f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: application/json\r\n"
            f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n"
            f"{_CLOSE if self._is_last else ''}\r\n"
        )
        self._leaving = head.encode() + body
        self._send()

    def _send(self) -> None:
        try:
            sent = self._client.send(self._leaving)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._leaving = self._leaving[sent:]
        self._mailbox.unwatch(self._client.fileno())
        if self._leaving:
            self._mailbox.watch(self._client.fileno(), self._send, WRITING)
            return
        if self._is_last:
            self._leave()
            self._lingering.send_last(self._client, b"")
            return
        if not self._is_ended:
            self._mailbox.watch(self._client.fileno(), self._read)
        self.is_waiting = False
        self._next()


def _words(code: str, text: str) -> bytes:
    return json.dumps({"code": code, "message": text}).encode()
