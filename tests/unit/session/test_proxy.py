"""What a proxy answers to CONNECT, and whose turn it is then."""

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from fleet_agent.errors import PROXY_PASSWORD, UnreachableError
from fleet_agent.session import proxy
from fleet_agent.session.route import Route
from support.tls import free_port

ANSWER_LIMIT = 0.2


class Proxy:
    """Answers every CONNECT with these bytes; None: not at all."""

    def __init__(self, answer: bytes | None) -> None:
        self.asked = b""
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while b"\r\n\r\n" not in self.asked:
                self.asked += connection.recv(4096)
            if self._answer is None:
                self._over.wait(5)
            else:
                with contextlib.suppress(OSError):
                    connection.sendall(self._answer)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._listener.close()


@contextlib.contextmanager
def proxied(answer: bytes | None, user: str = "") -> Iterator[tuple[Proxy, Route]]:
    server = Proxy(answer)
    try:
        yield server, Route(
            host="broker.example", port=8883, ca_file=None,
            proxy=f"http://{user}127.0.0.1:{server.port}",
        )  # fmt: skip
    finally:
        server.close()


def status(line: str) -> bytes:
    return f"HTTP/1.1 {line}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("user", "header"),
    [("", None), ("o%40tto:p%3Aw@", b"o@tto:p:w"), ("otto@", b"otto:")],
)
def test_a_tunnel_is_asked_for_with_user_and_password(user: str, header: bytes | None) -> None:
    with proxied(status("200 fine") + b"beyond", user) as (server, route):
        with proxy.tunnel(route, 5.0) as connection:
            assert connection.gettimeout() == 5.0
        assert server.asked.startswith(b"CONNECT broker.example:8883 HTTP/1.")
        credentials = b"Proxy-Authorization: Basic " + base64.b64encode(header or b"")
        assert (credentials in server.asked) is (header is not None)
        assert (b"Proxy-Authorization" in server.asked) is (header is not None)


@pytest.mark.parametrize(
    ("answer", "user", "code", "words"),
    [
        (status("407 Wants\x07"), "", PROXY_PASSWORD, "requires a user and a password (407"),
        (status("401 No"), "otto:x@", PROXY_PASSWORD, "does not accept this user and password (401 No)"),
        (status("500 Broken"), "", "proxy-endpoint-unreachable", "cannot reach broker.example:8883: 500 Broken"),
        (status("503 Later"), "", "proxy-endpoint-unreachable", "503 Later"),
        (status("499 x"), "", "proxy-refused", "refuses CONNECT to broker.example:8883: 499 x"),
        (status("403 " + "x" * 100), "", "proxy-refused", "403 " + "x" * 59 + "."),
        (b"SSH-2.0-x\r\n\r\n", "", "proxy-answer-invalid", "answers with something that is not HTTP"),
        (b"", "", "proxy-answer-invalid", "answers with nothing and closes the connection"),
        (None, "", "proxy-silent", "accepts a connection but does not answer: timed out"),
    ],
)  # fmt: skip
def test_what_it_answers_instead(answer: bytes | None, user: str, code: str, words: str) -> None:
    with proxied(answer, user) as (server, route):
        with pytest.raises(UnreachableError) as caught:
            proxy.tunnel(route, ANSWER_LIMIT if answer is None else 5.0)
        assert f"The proxy 127.0.0.1:{server.port} " in caught.value.title
    assert caught.value.code == code
    assert words in caught.value.title
    assert "\x07" not in caught.value.title
    if code == "proxy-refused":
        assert "broker.example:8883" in caught.value.remedy


def test_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    route = Route(host="broker.example", port=8883, ca_file=None, proxy=f"http://127.0.0.1:{port}")
    with pytest.raises(
        UnreachableError, match=f"127.0.0.1:{port} does not answer: Connection ref"
    ) as caught:
        proxy.tunnel(route, 5.0)
    assert caught.value.code == "proxy-unreachable"

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    nowhere = Route(
        host="broker.example", port=8883, ca_file=None, proxy="http://proxy.example:3128"
    )
    with pytest.raises(
        UnreachableError, match=r"proxy proxy\.example does not resolve: Name or"
    ) as caught:
        proxy.tunnel(nowhere, 5.0)
    assert caught.value.code == "proxy-unknown"
