"""Local programs that are asked over a socket."""

import json
import math
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.clock import SystemClock
from fleet_agent.config.handlers import HelperHandler, SocketHandler
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.orders.handlers.helper import HelperWork
from fleet_agent.orders.handlers.socket import SocketWork, packet, status_of
from fleet_agent.orders.handlers.work import seconds
from fleet_agent.orders.order import Order, bound
from fleet_agent.orders.outcome import Outcome
from fleet_agent.process.mailbox import Mailbox
from support.clock import FakeClock
from unit.orders.conftest import Bench, Program


def asking(path: Path, **options: object) -> Subscription:
    deduplicate = options.pop("deduplicate", None)
    handler = SocketHandler(path=str(path), **options)  # type: ignore[arg-type]
    return Subscription(topic="cmd/+", name="h", socket=handler, deduplicate=deduplicate)  # type: ignore[arg-type]


def test_a_program_gets_the_message_and_its_packet_is_the_answer(
    bench: Bench, program: Program
) -> None:
    bench.listen(asking(program.path, deduplicate="payload:id"))
    bench.send("cmd/a", b'{"id": 7}', content_type="a/b", user_properties=(("k", "v"), ("k", "w")))
    connection, received = program.accept()
    assert received == {
        "handler": "h",
        "topic": "cmd/a",
        "payload": '{"id": 7}',
        "content_type": "a/b",
        "response_topic": "answers",
        "id": "7",
        "user_properties": [["k", "v"], ["k", "w"]],
    }
    connection.send(b'{"status": 0, "speed": 3}')
    (answer,) = bench.answered()
    assert (answer.payload, answer.content_type) == (
        b'{"status": 0, "speed": 3}',
        "application/json",
    )
    assert answer.correlation_data == b"\x00c"
    connection.close()
    bench.send("cmd/a", b"\xff\x00")
    connection, received = program.accept()
    assert received["payload_base64"] == "/wA="
    connection.send(b"\xfe")
    (answer,) = bench.answered()
    assert (answer.payload, answer.content_type) == (b"\xfe", "application/octet-stream")
    connection.close()
    assert bench.counters().handled == 2


def test_a_status_other_than_zero_is_a_failure(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path))
    bench.send("cmd/a")
    connection, _ = program.accept()
    connection.send(b'{"status": 4}')
    connection.close()
    assert bench.answered()[0].said == {"status": 4}
    assert bench.counters().failed == 1
    assert "answered with status 4" in bench.problems["handler-failed h"]


def test_a_program_that_does_not_answer(bench: Bench, program: Program, tmp_path: Path) -> None:
    bench.listen(asking(tmp_path / "nobody"))
    assert bench.ask("cmd/a")["error"] == "no-program"
    bench.listen(asking(program.path, timeout=0.1))
    bench.send("cmd/a")
    connection, _ = program.accept()
    assert bench.answered()[0].said["error"] == "timeout"
    connection.close()
    bench.send("cmd/a")
    connection, _ = program.accept()
    connection.close()
    assert bench.answered()[0].said["error"] == "no-answer"
    bench.send("cmd/a")
    connection, _ = program.accept()
    connection.send(b"x" * (121 * 1024))
    assert bench.answered()[0].said["error"] == "answer-too-large"
    connection.close()


def test_a_path_that_no_socket_can_have_is_an_error_of_its_own(
    bench: Bench, tmp_path: Path
) -> None:
    bench.listen(asking(tmp_path / ("x" * 200)))
    assert bench.ask("cmd/a")["error"] == "no-program"


def test_it_is_asked_again_when_the_agent_ended_before_it_answered(
    bench: Bench, program: Program
) -> None:
    bench.listen(asking(program.path, deduplicate="property:id"))
    for number in range(3):
        bench.send("cmd/a", b"%d" % number, user_properties=(("id", str(number)),))
    connection, received = program.accept()
    assert received["payload"] == "0"
    bench.die()
    connection.close()
    bench.live()
    for number in range(3):
        connection, received = program.accept()
        assert received["payload"] == str(number)
        connection.send(b"{}")
        assert len(bench.answered()) == 1
        connection.close()
    bench.send("cmd/a", user_properties=(("id", "1"),))
    assert bench.answered()[0].said["error"] == "duplicate"
    assert not program.has_caller()


def test_beyond_the_line_it_is_busy(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path, max_waiting=1))
    for number in range(3):
        bench.send("cmd/a", b"%d" % number, qos=0)
    assert bench.answered()[0].said["error"] == "busy"
    for number in range(2):
        connection, received = program.accept()
        assert received["payload"] == str(number)
        connection.send(b"{}")
        bench.answered()
        connection.close()


def test_many_waiting_for_a_program_that_is_gone_all_fail(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path, max_waiting=100))
    for number in range(100):
        bench.send("cmd/a", b"%d" % number)
    connection, _ = program.accept()
    program.close()
    program.path.unlink()
    connection.close()
    errors = [answer.said["error"] for answer in bench.answered(100)]
    assert errors == ["no-answer"] + ["no-program"] * 99


def test_the_largest_message_fits_into_a_packet(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path))
    for payload in (b"\x01" * 131072, b"\xff" * 131072, b'"' * 131072, b"a" * 131072):
        bench.send("cmd/a", payload)
        connection, _ = program.accept()
        connection.send(b"{}")
        bench.answered()
        connection.close()


@given(st.binary(max_size=200), st.text(max_size=20))
def test_a_packet_is_json_and_carries_any_payload(payload: bytes, topic: str) -> None:
    import base64

    found = json.loads(packet(Order(topic=topic, payload=payload), "h"))
    text = found.get("payload")
    assert (
        base64.b64decode(found["payload_base64"]) if text is None else text.encode()
    ) == payload


def test_the_example_of_the_how_to_answers(bench: Bench, tmp_path: Path, root_dir: Path) -> None:
    page = (root_dir / "docs" / "how-to" / "handle-messages.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    path = tmp_path / "commands.sock"
    source = example.replace("/run/my-application/requests.sock", str(path))
    with subprocess.Popen([sys.executable, "-c", source]) as program:
        bench.turn(lambda: path.exists() and path.stat().st_mode & 0o777 == 0o660)
        bench.listen(asking(path, timeout=60.0))
        bench.turn(lambda: bench.ask("cmd/a", b"x") == {"status": 0})  # once it listens
        program.kill()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"{}", 0), (b'{"status": 0}', 0), (b'{"status": 7}', 7), (b'{"status": -1}', -1), (b'{"status": "7"}', 0),
        (b'{"status": null}', 0), (b'{"status": 1.5}', 1), (b'{"status": 1.0}', 1),
        (b'{"status": 0.0}', 0), (b'{"status": 1e400}', 1), (b'{"status": true}', 0), (b'{"status": %d}' % 10**400, 1),
        (b"[7]", 0), (b"7", 0), (b"", 0), (b"\xff", 0),
        (b"[" * 100_000, 0),
    ],
)  # fmt: skip
def test_the_status_of_an_answer(answer: bytes, status: int) -> None:
    assert status_of(answer) == status


@pytest.mark.parametrize(
    ("payload", "is_text"),
    [
        (b"", True), (b"text", True), ("é".encode() * 9, True), (b'"' * 12, False), (b'"' * 2 + b"x" * 4, True),
        (b'"' * 3 + b"x" * 3, True), (b'"' * 4 + b"x" * 2, True), (b'"' * 5 + b"x", False), (b"\xff", False),
    ],
)  # fmt: skip
def test_a_payload_is_text_where_that_is_not_longer_than_base64(
    payload: bytes, is_text: bool
) -> None:
    found = json.loads(packet(Order(topic="t", payload=payload), "h"))
    assert ("payload" in found, "payload_base64" in found) == (is_text, not is_text)
    assert "\\u00e9" not in packet(Order(payload="é".encode()), "h").decode()
    assert b'"id": "?"' in packet(Order(payload=b"", identity="\ud800"), "h")


@pytest.mark.parametrize("how", ["closes", "resets", "is late", "says too much"])
def test_a_program_that_may_have_done_it_has_been_given_it(
    bench: Bench, program: Program, how: str
) -> None:
    """Whoever gave it learns that it may have had an effect."""
    work = SocketWork(
        SocketHandler(path=str(program.path), timeout=5.0), "h", bench.mailbox, bench.clock
    )
    ended: list[Outcome] = []
    work.begin(Order(payload=b"x" * 9), ended.append)
    connection, _ = program.accept()
    if how == "resets":
        # What it has not read is lost to it.
        work._connection.send(b"more")  # type: ignore[union-attr]
    elif how == "says too much":
        connection.send(b"x" * (121 * 1024))
    if how == "is late":
        assert 4 < work.due - bench.clock.monotonic() <= 5
        work.act()
    elif how != "says too much":
        connection.close()
    while not ended:
        bench.turn_once()
    (outcome,) = ended
    words = {
        "closes": ("no-answer", "closed the connection without an answer"),
        "resets": ("no-answer", "ended the connection: Connection reset by peer"),
        "is late": ("timeout", "did not answer within 5 s"),
        "says too much": ("answer-too-large", "has more than 122880 bytes"),
    }
    error, reason = words[how]
    assert (outcome.error, outcome.was_begun) == (error, True)
    assert reason in outcome.reason
    assert work.due == math.inf
    assert not work.resume(Order(payload=b""), ended.append), "it is asked again"
    connection.close()


def test_one_that_answers_is_asked_for_nothing_more(bench: Bench, program: Program) -> None:
    bench.listen(asking(program.path, deduplicate="property:id"))
    bench.send("cmd/a", user_properties=(("id", "1"),))
    connection, _ = program.accept()
    connection.send(b'{"status": 0}')
    connection.close()
    (answer,) = bench.answered()
    assert answer.said == {"status": 0}
    assert bench.shared.last[-1]["reason"] is None
    assert bench.registry.due == math.inf


@pytest.mark.parametrize(
    ("left", "found"), [(None, 60.0), (100.0, 60.0), (40.0, 40.0), (0.5, 0.5), (-1.0, 0.0)]
)
def test_an_order_has_its_handlers_time_or_less(left: float | None, found: float) -> None:
    clock = FakeClock()
    order = Order(payload=b"", bound=bound(left, clock))
    assert seconds(60.0, order, clock) == found


@pytest.mark.parametrize("work", ["socket", "helper"])
def test_without_a_descriptor_left_an_order_fails_and_the_agent_goes_on(
    tmp_path: Path, work: str
) -> None:
    path, clock, found = str(tmp_path / "sock"), SystemClock(), list[Outcome]()
    mailbox = Mailbox(clock)
    asks: SocketWork | HelperWork = SocketWork(SocketHandler(path=path), "h", mailbox, clock)
    if work == "helper":
        asks = HelperWork(HelperHandler(name="reboot", socket=path), mailbox, clock)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        asks.begin(Order(topic="cmd/a", payload=b"1"), found.append)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    (outcome,) = found
    assert "Too many open files" in outcome.reason
