"""Topics that others chose: of programs, of who sends commands, of jobs, of AWS's word on the device.

Whatever they are the agent lives, says what it did not take, and its readings arrive afterwards.
"""

import json
import socket
from pathlib import Path
from typing import Any

from hostile.running import CONNECT_AGAIN, Running, Start, arrives, listening
from support.agent import until
from support.packets import Publish
from support.properties import Properties, Property
from support.scripted import Script, Server

# The SDK raises on each.
IMPOSSIBLE = ("\uffff", "\U0001fffe", "\x07", "\x85", "a\nb", "+", "x/#", "x" * 70_000)


def refusal(agent: Running, topic: str) -> str:
    """The code that a program is answered with."""
    path = agent.state_dir / "run" / "telemetry.sock"
    until(path.exists, "the socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(path))
        client.settimeout(30)
        client.send(json.dumps({"topic": topic, "payload": 1}).encode())
        answer = json.loads(client.recv(1 << 17))
    return str(answer.get("error", {}).get("code", "ok"))


def test_a_reading_that_can_never_be_sent_is_not_acknowledged(
    server: Server, start: Start
) -> None:
    allowed = [{"user": "*", "topics": ["dt/{thing}/#", "$aws/rules/#"]}]
    (pump,) = start("pump", telemetry={"sources": [{"socket": {"allow": allowed}}]})
    pump.wait_connected()
    topics = [f"dt/pump/{bad}" for bad in IMPOSSIBLE]
    topics += ["$aws/rules/r\0/a", f"$aws/rules/{'r' * 1000}/a", "$aws/rules/r/" + "/" * 8]
    assert {refusal(pump, topic) for topic in (*topics, "dt/pump/\ud800")} == {"bad-topic"}
    arrives(pump)
    assert server.connections("pump") == 1


def test_a_queue_that_holds_such_readings_heals(server: Server, start: Start) -> None:
    bad = [f"dt/pump/{each}" for each in IMPOSSIBLE]
    (pump,) = start("pump", queued=["dt/pump/good", *bad, "dt/pump/good too"])
    pump.wait_until_said("can never be sent")
    for topic in ("dt/pump/good", "dt/pump/good too"):
        server.wait(lambda topic=topic: server.published(topic), topic)  # type: ignore[misc]
    until(lambda: pump.shown().get("readings_waiting") == 0, "an empty queue")
    assert pump.shown()["readings_dropped"] == len(bad)
    arrives(pump)
    assert server.connections("pump") == 1


def commands(*properties: Properties) -> list[Publish]:
    """A command each."""
    return [
        Publish(topic="cmd/pump/x", payload=b"%d" % number, properties=each)
        for number, each in enumerate(properties)
    ]


def answering(tmp_path: Path) -> dict[str, Any]:
    """Settings with a handler that answers."""
    handler = {"topic": "cmd/{thing}/x", "file": {"path": str(tmp_path / "written")}}
    presence = {"topic": "presence/{thing}"}
    return {"subscriptions": [handler], "connection": {"presence": presence}}


def test_no_answer_goes_where_it_would_end_the_connection_or_forge_a_reading(
    server: Server, start: Start, tmp_path: Path
) -> None:
    topics = [
        *("$aws/unknown", "$aws/things/pump/shadow/update", "$SYS/x", "a/b/c/d/e/f/g/h/i"),
        *("dt/pump/socket", "presence/pump", "cmd/pump/x", "a" * 257),
    ]
    asked: list[Properties] = [{Property.RESPONSE_TOPIC: topic} for topic in topics]
    asked.append({Property.RESPONSE_TOPIC: "answers", Property.CORRELATION_DATA: b"x" * 65_535})
    asked.append({Property.RESPONSE_TOPIC: "answers", Property.CORRELATION_DATA: b"7"})
    server.script("pump", Script(publishes=commands(*asked)))
    (pump,) = start("pump", **answering(tmp_path))
    server.wait(lambda: server.published("answers"), "the answer that may go")
    arrives(pump)
    assert len(server.published("answers")) == 1
    assert server.retain_handling == {1}, "what was retained comes for a new subscription alone"
    names = {message.topic for _, message, _ in server.received}
    assert not names & {*topics} - {"presence/pump"}
    assert len(server.published("presence/pump")) == 1, "its own"
    assert server.connections("pump") == 1
    assert not server.violations


def test_an_answer_that_ends_the_connection_twice_is_dropped_and_named(
    server: Server, start: Start, tmp_path: Path
) -> None:
    poison = commands({Property.RESPONSE_TOPIC: "poison"})
    fine = commands({Property.RESPONSE_TOPIC: "fine"})
    server.script(
        "pump",
        Script(publishes=poison, enders=["poison"]),
        Script(enders=["poison"]),
        Script(publishes=[*poison, *fine], enders=["poison"]),
    )
    (pump,) = start("pump", **answering(tmp_path))
    server.wait(lambda: server.published("fine"), "the next answer", CONNECT_AGAIN)
    pump.wait_until_said("poison", "ended the connection twice")
    arrives(pump)
    assert server.connections("pump") == 3, "nor does another answer there"


def test_the_id_of_a_job_is_no_way_to_another_topic(server: Server, start: Start) -> None:
    def job(name: str) -> Publish:
        execution = {
            "jobId": name,
            "status": "QUEUED",
            "jobDocument": {"operation": "rotate-credential"},
        }
        payload = json.dumps({"execution": execution}).encode()
        return Publish(topic="$aws/things/pump/jobs/notify-next", payload=payload)

    ids = ("a\nb", "x" * 70_000, "\ud800", "../x", "a/b", "\uffff", "")
    server.script("pump", Script(publishes=[job(each) for each in (*ids, "good")]))
    (pump,) = start("pump", rotation={"jobs": True})
    # A notice is a reason to ask, and nothing else.
    asked = "$aws/things/pump/jobs/$next/get"
    server.wait(lambda: server.published(asked), "the question for the next job")
    arrives(pump)
    names = {message.topic for _, message, _ in server.received if "/jobs/" in message.topic}
    assert names == {asked}
    assert server.connections("pump") == 1


def test_what_makes_a_topic_impossible_puts_that_alone_out_of_service(
    server: Server, start: Start
) -> None:
    bad = {"empty": "", "slash": "a/b", "bell": "\x07"}
    server.configurations.update({name: {"site": value} for name, value in bad.items()})
    settings: dict[str, Any] = {
        "telemetry": {
            "sources": [{"system": {"topic": "dt/{site}/system"}}, {"socket": {}}],
        },
        "connection": {"presence": {"topic": "presence/{site}"}},
        "subscriptions": [{"topic": "cmd/{site}/x"}, {"topic": "cmd/{thing}/{Misspelt}"}],
        "rotation": {"order_topic": "rotate/{site}"},
    }
    agents = start(*bad, **settings)
    for agent in agents:
        # The presence's is the last that is looked at.
        problem = agent.wait_until_said("presence/{site}", "out of service")
        assert problem["title"].count("cannot be filled in") >= 2, problem
        arrives(agent)
        assert server.connections(agent.name) == 1


def test_messages_that_the_sdk_cannot_decode_are_a_line_each_and_no_traceback(
    server: Server, start: Start
) -> None:
    odd: list[Properties] = [
        {Property.RESPONSE_TOPIC: b"\xff"},
        {Property.USER: [(b"\xff", b"x")]},
    ]
    bad = [Publish(topic="cmd/pump/a", payload=b"1", properties=found) for found in odd]
    server.script("pump", Script(publishes=[*bad, Publish(topic="cmd/pump/a", payload=b"good")]))
    (pump,) = start("pump", **listening("a"))
    pump.wait_for_line("message on cmd/pump/a: good")
    assert pump.log.count("the SDK dropped a packet from the server") == len(bad)
    assert "Exception ignored" not in pump.log
    arrives(pump)
