"""One request: what is sent, and each way in which it ends, once."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from awscrt import http as crt

from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import DeviceError
from fleet_agent.session import http
from fleet_agent.session.http import LARGEST, Answer, Exchange, Request
from fleet_agent.session.route import Route

PLAIN = Route(host="broker.example", port=8443, ca_file=None, proxy=None, is_plain=True)


class Connection:
    """In place of awscrt's."""

    def __init__(self) -> None:
        self.closed = 0
        self.asked: Any = None
        self.callbacks: Any = None
        self.is_active = False
        self.completion: Future[Any] = Future()

    def request(self, asked: Any, *callbacks: Any) -> Any:
        self.asked, self.callbacks = asked, callbacks
        return SimpleNamespace(completion_future=self.completion, activate=self.activate)

    def activate(self) -> None:
        self.is_active = True

    def close(self) -> None:
        self.closed += 1


class Bench:
    """An exchange whose connection the test makes."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, request: Request, route: Route = PLAIN
    ) -> None:
        self.future: Future[Any] = Future()
        self.given: dict[str, Any] = {}
        self.refuses: Exception | None = None
        self.answers: list[Answer] = []
        self.connection = Connection()
        monkeypatch.setattr(crt.HttpClientConnection, "new", self.new)
        self.exchange = Exchange(route, None, request, self.answers.append)

    def new(self, **given: Any) -> "Future[Any]":
        self.given = given
        return self.future

    def connect(self) -> None:
        self.future.set_result(self.connection)

    def comes(self, *chunks: bytes, status: int = 200) -> None:
        began, came = self.connection.callbacks
        began(http_stream=None, status_code=status, headers=[("Content-Type", "a"), ("X", "b")])
        for chunk in chunks:
            came(http_stream=None, chunk=chunk)


def test_what_is_asked_and_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(path="/a", method="PUT", headers={"X-Y": "z"}, body=b"body")
    bench = Bench(monkeypatch, request)
    assert (bench.given["host_name"], bench.given["port"]) == ("broker.example", 8443)
    assert bench.given["socket_options"].connect_timeout_ms == http.CONNECT_LIMIT
    assert bench.given["tls_connection_options"] is None
    assert bench.given["proxy_options"] is None
    bench.connect()
    assert bench.connection.is_active
    asked = bench.connection.asked
    assert (asked.method, asked.path) == ("PUT", "/a")
    sent = bytearray(8)
    assert sent[: asked.body_stream._read_into_memoryview(memoryview(sent))] == b"body"
    assert list(asked.headers) == [
        ("Host", "broker.example:8443"),
        ("Content-Length", "4"),
        ("X-Y", "z"),
    ]
    bench.comes(b"ab", b"c", status=201)
    assert bench.answers == []
    bench.connection.completion.set_result(201)
    assert bench.answers == [
        Answer(status=201, headers={"content-type": "a", "x": "b"}, body=b"abc")
    ]
    assert bench.connection.closed == 1


def test_a_request_without_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, Request(path="/"))
    bench.connect()
    assert (bench.connection.asked.method, bench.connection.asked.body_stream) == ("GET", None)
    assert list(bench.connection.asked.headers) == [("Host", "broker.example:8443")]


@pytest.mark.parametrize(("port", "host"), [(443, "a.example"), (8443, "a.example:8443")])
def test_the_host_has_its_port_where_it_is_another(port: int, host: str) -> None:
    assert http.host_of(Route(host="a.example", port=port, ca_file=None, proxy=None)) == host


def test_an_answer_may_be_so_large_and_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, Request(path="/"))
    bench.connect()
    bench.comes(b"x" * (LARGEST - 1), b"y")
    assert bench.answers == []
    bench.comes(b"z", b"more")
    (answer,) = bench.answers
    assert (answer.status, answer.body) == (None, b"")
    assert f"more than {LARGEST} bytes" in answer.error
    assert bench.connection.closed == 1
    bench.connection.completion.set_result(200)
    assert len(bench.answers) == 1


class SdkError(Exception):
    name = "AWS_X"
    message = "words."


@pytest.mark.parametrize(
    ("error", "words"),
    [(SdkError(), "AWS_X: words"), (ValueError("no UNIX."), "ValueError: no UNIX")],
)
@pytest.mark.parametrize("when", ["connecting", "asking", "completing"])
def test_it_ends_with_awscrts_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str, when: str
) -> None:
    bench = Bench(monkeypatch, Request(path="/"))
    if when == "connecting":
        bench.future.set_exception(error)
    elif when == "asking":
        bench.connection.request = fails(error)  # type: ignore[method-assign]
        bench.connect()
    else:
        bench.connect()
        bench.comes(b"part")
        bench.connection.completion.set_exception(error)
    assert bench.answers == [Answer(status=None, error=words)]
    assert bench.connection.closed == (0 if when == "connecting" else 1)


def fails(error: Exception) -> Any:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_one_that_cannot_begin_or_ends_without_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, Request(path="/"))
    bench.connect()
    bench.connection.completion.set_result(None)
    assert [answer.status for answer in bench.answers] == [None]
    monkeypatch.setattr(crt.HttpClientConnection, "new", fails(SdkError()))
    heard: list[Answer] = []
    Exchange(PLAIN, None, Request(path="/"), heard.append)
    assert heard == [Answer(status=None, error="AWS_X: words")]


def test_one_that_is_given_up_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, Request(path="/"))
    bench.exchange.cancel("too long")
    bench.exchange.cancel("again")
    bench.connect()
    assert bench.answers == [Answer(status=None, error="too long")]
    assert bench.connection.asked is None
    assert bench.connection.closed == 1


def test_a_command_waits_for_the_end_or_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    never: Future[Any] = Future()
    monkeypatch.setattr(crt.HttpClientConnection, "new", lambda **_: never)
    answer = http.once(PLAIN, None, Request(path="/"), 0.01)
    assert answer == Answer(status=None, error="no answer within 0.01 s")
    monkeypatch.setattr(crt.HttpClientConnection, "new", fails(SdkError()))
    assert http.once(PLAIN, None, Request(path="/"), 60.0).error == "AWS_X: words"


def test_a_certificate_that_cannot_be_shown_is_an_error_at_once() -> None:
    route = Route(host="a.example", port=443, ca_file=None, proxy=None)
    pair = KeyPair(
        certificate="none", private_key=Secret("none"), certificate_file="c", private_key_file="k"
    )
    answers: list[Answer] = []
    with pytest.raises(DeviceError):
        Exchange(route, pair, Request(path="/"), answers.append)
    assert answers == []
    with pytest.raises(DeviceError):
        http.once(route, pair, Request(path="/"), 60.0)


def test_over_tls_the_server_is_named_and_the_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    route = Route(host="a.example", port=443, ca_file=None, proxy="http://u:p@proxy.example:3128")
    bench = Bench(monkeypatch, Request(path="/"), route)
    assert bench.given["tls_connection_options"] is not None
    proxy = bench.given["proxy_options"]
    assert (proxy.host_name, proxy.port) == ("proxy.example", 3128)
    assert (proxy.auth_username, proxy.auth_password) == ("u", "p")
