"""Programs that send to a socket source of a bench."""

import json
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

from fleet_agent.config.readings import Allow, SocketSource
from fleet_agent.process.mailbox import Ready
from fleet_agent.telemetry.sources import packet
from fleet_agent.telemetry.sources.allow_list import AllowList
from fleet_agent.telemetry.sources.connection import Connection
from fleet_agent.telemetry.sources.socket import Socket
from fleet_agent.topics.names import Topics
from support.identity import CREDENTIAL
from support.sources import LIMIT, Bench

EVERYBODY = SocketSource().allow


def begin(bench: Bench, allow: Sequence[Allow] = EVERYBODY, **options: Any) -> Socket:
    settings = SocketSource(allow=tuple(allow), **options)
    topics = Topics(CREDENTIAL.topic_values)
    allowed = AllowList(settings.allow, topics.fill, topics.filler("socket"))
    source = Socket(
        settings, bench.feed("socket"), bench.mailbox, bench.socket, bench.listeners, allowed
    )
    bench.sources = [source]
    bench.turn(lambda: source.listener.is_open)
    return source


class Program:
    """A program that sends."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        bench.opened.append(self.socket)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.connect(str(bench.runtime_dir / packet.NAME))
        self.socket.setblocking(False)
        self.answers: list[dict[str, Any]] = []

    def send(self, packet: object) -> None:
        self.send_bytes(packet if isinstance(packet, bytes) else json.dumps(packet).encode())

    def send_bytes(self, data: bytes) -> None:
        limit = self._bench.clock.monotonic() + LIMIT
        while self._bench.clock.monotonic() < limit:
            try:
                self.socket.send(data)
            except BlockingIOError:
                seen = len(self._bench.intake.readings)
                self._bench.turn(partial(self._has_more, seen))
            else:
                return

    def _has_more(self, seen: int) -> bool:
        return len(self._bench.intake.readings) > seen

    def received(self) -> list[dict[str, Any]]:
        """All answers so far."""
        try:
            while data := self.socket.recv(1 << 18):
                self.answers.append(json.loads(data))
            self.answers.append({"closed": True})
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.answers.append({"closed": True})
        return self.answers

    def ask(self, packet: object) -> dict[str, Any]:
        """Sends it and waits for the answer."""
        count = len(self.answers)
        self.send(packet)
        self._bench.turn(lambda: len(self.received()) > count)
        return self.answers[count]


def one_of(bench: Bench) -> Connection:
    """The only connection."""
    source = bench.sources[0]
    assert isinstance(source, Socket)
    bench.turn(lambda: len(source._admission) == 1)
    (client,) = source._admission
    assert isinstance(client, Connection)
    return client


def rest(bench: Bench) -> None:
    """Turns until nothing is left to do, which is soon."""
    limit = bench.clock.monotonic() + LIMIT
    while event := bench.mailbox.wait(bench.clock.monotonic() + 0.01):
        assert isinstance(event, Ready)
        event.act()
        if not bench.intake.is_held:
            bench.intake.commit()
        assert bench.clock.monotonic() < limit, "it spins"
