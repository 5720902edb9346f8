"""One HTTPS request: a status and a body, or how awscrt failed. The device's certificate is shown where one is given.

awscrt's own thread carries it out; ``done`` is called there, once, and must only post. An answer larger than
``LARGEST`` ends the request.
"""

import dataclasses
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from fleet_agent.credentials.model import KeyPair
from fleet_agent.record import record
from fleet_agent.session import sdk, tls
from fleet_agent.session.route import Route

CONNECT_LIMIT = 10_000  # ms for TCP; the handshake has awscrt's own ten seconds
LARGEST = 64 * 1024  # bytes of an answer

_TOO_LARGE = f"the answer has more than {LARGEST} bytes"
_HTTPS_PORT = 443


@record
class Request:
    """A request; ``body`` is sent as it is."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    body: bytes = dataclasses.field(default=b"", repr=False)


@record
class Answer:
    """An answer; without a complete one ``status`` is None, and ``error`` has awscrt's message."""

    status: int | None
    error: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    body: bytes = dataclasses.field(default=b"", repr=False)  # it may hold credentials


class Exchange:
    """A request under way.

    Args:
        route: Where to.
        pair: The credential to show; None: none is.
        request: What is asked.
        done: Receives the outcome, on awscrt's thread, or on this thread if it never began.

    Raises:
        AgentError: The certificate, the key or the CA cannot be loaded.
    """

    def __init__(
        self, route: Route, pair: KeyPair | None, request: Request, done: Callable[[Answer], None]
    ) -> None:
        self._request = request
        self._done = done
        self._lock = threading.Lock()
        self._is_over = False
        self._connection: Any = None
        self._stream: Any = None
        self._head: tuple[int, dict[str, str]] | None = None
        self._body = bytearray()
        secured = None
        if not route.is_plain:
            secured = tls.context(route, pair).new_connection_options()
            secured.set_server_name(route.host)
        self._host = host_of(route)
        options = sdk.io.SocketOptions()
        options.connect_timeout_ms = CONNECT_LIMIT
        try:
            sdk.http.HttpClientConnection.new(
                host_name=route.host,
                port=route.port,
                socket_options=options,
                tls_connection_options=secured,
                proxy_options=tls.proxy(route),
            ).add_done_callback(self._connected)
        except Exception as error:  # noqa: BLE001 - the SDK's, of any kind
            self._end(Answer(status=None, error=_words(error)))

    def cancel(self, why: str) -> None:
        """Ends it now, with these words, if it has not ended."""
        self._end(Answer(status=None, error=why))

    # On awscrt's thread -----------------------------------------------------------------------------------------------

    def _connected(self, future: Any) -> None:  # noqa: ANN401 - awscrt has no types
        try:
            self._connection = future.result()
            if self._is_over:
                self._connection.close()
                return
            headers = sdk.http.HttpHeaders(
                [("Host", self._host), ("Content-Length", str(len(self._request.body)))]
                if self._request.body
                else [("Host", self._host)]
            )
            headers.add_pairs([*self._request.headers.items()])
            asked = sdk.http.HttpRequest(
                self._request.method,
                self._request.path,
                headers,
                BytesIO(self._request.body) if self._request.body else None,
            )
            self._stream = self._connection.request(asked, self._began, self._came)
            self._stream.completion_future.add_done_callback(self._completed)
            self._stream.activate()
        except Exception as error:  # noqa: BLE001 - the SDK's, of any kind
            self._end(Answer(status=None, error=_words(error)))

    def _began(self, *, status_code: int, headers: Any, **_more: object) -> None:  # noqa: ANN401 - awscrt has no types
        self._head = status_code, {name.lower(): value for name, value in headers}

    def _came(self, *, chunk: Any, **_more: object) -> None:  # noqa: ANN401 - awscrt has no types
        if len(self._body) + len(chunk) > LARGEST:
            self._end(Answer(status=None, error=_TOO_LARGE))
        elif not self._is_over:
            self._body += chunk

    def _completed(self, future: Any) -> None:  # noqa: ANN401 - awscrt has no types
        error = future.exception()
        if error is not None or self._head is None:
            self._end(Answer(status=None, error=_words(error)))
            return
        status, headers = self._head
        self._end(Answer(status=status, headers=headers, body=bytes(self._body)))

    def _end(self, answer: Answer) -> None:
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
        self._body.clear()
        if self._connection is not None:
            self._connection.close()
        self._done(answer)


def host_of(route: Route) -> str:
    """The `Host` of a request."""
    return route.host if route.port == _HTTPS_PORT else f"{route.host}:{route.port}"


def _words(error: BaseException | None) -> str:
    name = getattr(error, "name", type(error).__name__)
    return f"{name}: {getattr(error, 'message', error)}".rstrip(".")


def once(route: Route, pair: KeyPair | None, request: Request, limit: float) -> Answer:
    """Asks and waits for the end, for a command; after ``limit`` seconds the answer says so.

    Raises:
        AgentError: The certificate, the key or the CA cannot be loaded.
    """
    came: list[Answer] = []
    over = threading.Event()

    def done(answer: Answer) -> None:
        came.append(answer)
        over.set()

    exchange = Exchange(route, pair, request, done)
    if not over.wait(limit):
        exchange.cancel(f"no answer within {limit:g} s")
    over.wait()
    return came[0]
