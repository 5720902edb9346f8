"""The agent at a server with limits that AWS does not have, or that it reaches: it keeps them or says which."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostile.running import Spent, Start, arrives, listening
from support.agent import until
from support.packets import Publish
from support.properties import Properties, Property
from support.scripted import End, Script, Server

SIZE = 2000  # bytes of a packet that a small server takes

# A reading waits for others: what the limits do to a message of many is to be seen.
GATHERING = {"telemetry": {"batch": {"max_delay": "1s"}}}


def limited(server: Server, properties: Properties) -> None:
    """Gives ``pump`` a server with these limits."""
    server.script("pump", Script(properties=properties))


def count(server: Server, topic: str) -> int:
    """The readings in the messages that came on a topic."""
    found = [json.loads(payload) for payload in server.published(topic)]
    return sum(len(each) if isinstance(each, list) else 1 for each in found)


@pytest.mark.parametrize(
    "properties",
    [
        {Property.RECEIVE_MAXIMUM: 1},
        {Property.TOPIC_ALIAS_MAXIMUM: 0},
        {Property.MAXIMUM_PACKET_SIZE: SIZE},
    ],
    ids=["one at a time", "no aliases", "small packets"],
)
def test_readings_arrive_within_the_servers_limits(
    server: Server, start: Start, properties: Properties
) -> None:
    limited(server, properties)
    (pump,) = start("pump", **GATHERING)
    pump.wait_connected()
    spent = Spent(pump)
    pump.put(*["x"] * 100, payload="y" * 60)
    server.wait(lambda: count(server, "dt/pump/x") == 100, "a hundred readings")
    arrives(pump)
    assert not server.violations
    assert pump.problems == []
    assert server.connections("pump") == 1
    spent.check()


def test_a_reading_that_the_server_can_never_take_is_said_and_keeps_none_back(
    server: Server, start: Start
) -> None:
    limited(server, {Property.MAXIMUM_PACKET_SIZE: SIZE})
    (pump,) = start("pump")
    pump.wait_connected()
    pump.put("x", payload="y" * SIZE)
    pump.wait_until_said("dt/pump/x", f"{SIZE} bytes")
    arrives(pump)
    arrives(pump, "x")
    assert not server.violations
    assert server.connections("pump") == 1


def test_the_servers_keep_alive_is_kept(server: Server, start: Start) -> None:
    limited(server, {Property.SERVER_KEEP_ALIVE: 1})
    (pump,) = start("pump")
    server.wait(lambda: len(server.pings) >= 3, "pings")
    arrives(pump)
    assert not server.violations
    assert server.connections("pump") == 1


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({Property.MAXIMUM_QOS: 0}, ["QoS"]),
        ({Property.RETAIN_AVAILABLE: 0}, ["retain", "connection.presence"]),
        ({Property.SESSION_EXPIRY: 60}, ["60", "connection.expiry"]),
    ],
    ids=["QoS 0", "nothing retained", "short sessions"],
)
def test_what_the_server_cannot_do_is_said(
    server: Server, start: Start, properties: Properties, words: list[str]
) -> None:
    limited(server, properties)
    presence = {"topic": "dt/{thing}/presence", "retain": True}
    (pump,) = start("pump", connection={"presence": presence}, **listening("x"))
    pump.wait_until_said(*words)
    spent = Spent(pump)
    pump.put("x")
    assert pump.is_unharmed()
    spent.check()


class Gate(threading.Thread):
    """A program that takes commands one by one and answers none before it is opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.taken: list[str] = []
        self.is_open = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        self._socket.listen(64)

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                if data := connection.recv(1 << 20):
                    self.taken.append(json.loads(data)["payload"])
                    self.is_open.wait()
                    connection.send(b"{}")

    def close(self) -> None:
        """Is gone."""
        self.is_open.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def behind_a_gate(path: Path) -> Iterator[Gate]:
    """Runs one for as long as the block lasts."""
    gate = Gate(path)
    gate.start()
    try:
        yield gate
    finally:
        gate.close()


def test_what_a_full_handler_cannot_take_yet_is_not_acknowledged_and_not_dropped(
    server: Server, start: Start, tmp_path: Path
) -> None:
    asked = [Publish(topic="cmd/pump/slow", payload=b"%d" % number) for number in range(60)]
    other = Publish(topic="cmd/pump/quick", payload=b"done")
    server.script("pump", Script(publishes=[*asked, other]))
    handlers: list[dict[str, Any]] = [
        {
            "topic": "cmd/{thing}/slow",
            "name": "slow",
            "socket": {"path": str(tmp_path / "gate"), "max_waiting": 4, "timeout": "60s"},
        },
        {"topic": "cmd/{thing}/quick", "file": {"path": str(tmp_path / "written")}},
    ]

    def acknowledged() -> int:
        return server.acknowledged.count(("pump", "cmd/pump/slow", 0))

    with behind_a_gate(tmp_path / "gate") as gate:
        (pump,) = start("pump", subscriptions=handlers)
        until(lambda: gate.taken, "the first one")
        spent = Spent(pump)
        arrives(pump)
        until((tmp_path / "written").exists, "the other handler's")
        assert acknowledged() <= 5, "more than the one that goes on and the four that wait"
        gate.is_open.set()
        server.wait(lambda: acknowledged() == 60, "the rest")
        until(lambda: len(gate.taken) == 60, "the program")
        assert gate.taken == [str(number) for number in range(60)]
        arrives(pump)
        until(lambda: pump.shown()["handlers"]["slow"]["handled"] == 60, "the count")
        assert pump.shown()["handlers"]["slow"]["refused"] == 0
        assert pump.problems == []
        assert server.connections("pump") == 1
        spent.check()


def test_a_flapping_network_sets_no_message_aside_that_waits_for_its_turn(
    server: Server, start: Start, tmp_path: Path
) -> None:
    """The last one that came before each end is as innocent as the others: nobody has handled it yet."""
    asked = [
        Publish(topic="cmd/pump/slow", payload=b'{"id": %d}' % number) for number in range(20)
    ]
    flap = Script(publishes=asked, then=End(), after="acknowledged")
    server.script("pump", flap, flap, flap, Script(publishes=asked))
    handler = {
        "topic": "cmd/{thing}/slow",
        "name": "slow",
        "socket": {"path": str(tmp_path / "gate"), "max_waiting": 4, "timeout": "60s"},
        "deduplicate": "payload:id",
    }
    with behind_a_gate(tmp_path / "gate") as gate:
        (pump,) = start("pump", subscriptions=[handler])
        server.wait(lambda: server.connections("pump") == 4, "the last connection", 60)
        gate.is_open.set()
        until(lambda: len(gate.taken) == 20, "all of them")
        assert sorted(json.loads(each)["id"] for each in gate.taken) == list(range(20))
        until(lambda: pump.shown()["handlers"]["slow"]["handled"] == 20, "the count")
