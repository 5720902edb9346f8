"""Calls by botocore against a server on the loopback that refuses as AWS does when it is asked too often or is ill."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fleet_cloud.aws import causes, in_process
from fleet_cloud.aws.call import Call, Where, parameters
from fleet_cloud.aws.in_process import InProcess
from fleet_cloud.errors import CommandError

# What is answered to the request of this number: status, error code, body.
Answers = Callable[[int], tuple[int, str, dict[str, Any] | list[Any] | bytes]]
LISTED = {"things": [{"thingName": "a"}]}


class Server(ThreadingHTTPServer):
    """Answers as it is told."""

    answers: Answers = staticmethod(lambda _: (200, "", LISTED))

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.paths.append(self.path)
        status, code, body = self.server.answers(len(self.server.paths))
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if code:
            self.send_header("x-amzn-ErrorType", code)
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base names it
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class Waiting:
    """A clock that goes on when somebody waits, in place of waiting."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def ask(
    server: Server,
    clock: Waiting,
    times: int = 1,
    service: str = "iot",
    operation: str = "list-things",
) -> list[Any]:
    where = Where(region="eu-west-1", endpoint_url=f"http://127.0.0.1:{server.server_port}")
    call = Call(service=service, operation=operation, parameters=parameters(()), where=where)
    made = InProcess(clock, clock.sleep)
    return [json.loads(made.run(call, {})) for _ in range(times)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    made = Waiting()
    monkeypatch.setattr("botocore.endpoint.time.sleep", made.sleep)
    return made


def test_throttled_call_is_waited_out_and_the_next_ones_come_slower(
    server: Server, clock: Waiting
) -> None:
    refused = (429, "ThrottlingException", {"message": "Rate exceeded"})
    server.answers = lambda number: refused if number <= 3 else (200, "", LISTED)
    assert ask(server, clock, times=3) == [LISTED] * 3
    assert len(server.paths) == 6
    assert sum(clock.slept) > 1


def test_endless_throttling_ends_with_awss_words(server: Server, clock: Waiting) -> None:
    server.answers = lambda _: (429, "ThrottlingException", {"message": "Rate exceeded"})
    with pytest.raises(CommandError) as failed:
        ask(server, clock)
    assert "(ThrottlingException)" in failed.value.said
    assert 10 < len(server.paths) < 100


def test_fault_of_aws_is_tried_again_five_times_at_most(server: Server, clock: Waiting) -> None:
    ill = (500, "InternalFailureException", {"message": "ill"})
    server.answers = lambda number: ill if number == 1 else (200, "", LISTED)
    assert ask(server, clock) == [LISTED]
    server.answers = lambda _: ill
    server.paths.clear()
    with pytest.raises(CommandError) as failed:
        ask(server, clock)
    assert "InternalFailureException" in failed.value.said
    assert len(server.paths) == 5


def test_refusal_is_not_tried_again(server: Server, clock: Waiting) -> None:
    server.answers = lambda _: (403, "AccessDeniedException", {"message": "no"})
    with pytest.raises(CommandError):
        ask(server, clock)
    assert len(server.paths) == 1
    assert clock.slept == []


def test_pages_are_as_large_as_aws_gives_them_and_throttling_loses_none(
    server: Server, clock: Waiting
) -> None:
    pages: dict[int, tuple[int, str, dict[str, Any]]] = {
        1: (200, "", {"things": [{"thingName": "a"}], "nextToken": "2"}),
        2: (429, "ThrottlingException", {"message": "Rate exceeded"}),
        3: (200, "", {"things": [{"thingName": "b"}]}),
    }
    server.answers = lambda number: pages[number]
    (found,) = ask(server, clock)
    assert [entry["thingName"] for entry in found["things"]] == ["a", "b"]
    assert ["maxResults=250" in path for path in server.paths] == [True] * 3
    assert ["nextToken=2" in path for path in server.paths] == [False, True, True]


def test_this_python_has_botocore() -> None:
    assert in_process.is_available()


@pytest.mark.parametrize(
    ("status", "body", "service", "operation"),
    [
        (200, b"<p>login: s3cret", "iam", "list-roles"),
        (403, b"s3cret", "sts", "get-caller-identity"),
        (200, [], "iot", "list-things"),
    ],
)
def test_what_answers_is_not_aws(
    server: Server, clock: Waiting, status: int, body: bytes, service: str, operation: str
) -> None:
    """A login page, or a proxy's refusal: words, and nothing of the page, which may hold a key."""
    server.answers = lambda _: (status, "", body)
    with pytest.raises(CommandError) as error:
        ask(server, clock, service=service, operation=operation)
    assert causes.explain(error.value.said, service).code == "endpoint-is-no-aws"
    assert "s3cret" not in error.value.said
