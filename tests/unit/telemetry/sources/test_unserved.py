"""A socket that systemd holds and no source serves."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.telemetry.sources.unserved import Unserved
from support.sources import Bench


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as found:
        found.bind(str(tmp_path / "held.sock"))
        found.listen()
        yield found


def test_who_connects_reads_why_and_is_let_go(listener: socket.socket, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    unserved = Unserved(listener, bench.mailbox, bench.clock)
    bench.sources.append(unserved)  # type: ignore[arg-type]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(listener.getsockname())
        client.setblocking(False)
        client.send(b'{"payload": 1}')
        heard: list[bytes] = []

        def is_over() -> bool:
            try:
                heard.append(client.recv(4096))
            except BlockingIOError:
                return False
            return heard[-1] == b""

        bench.turn(is_over)
    error = json.loads(heard[0])["error"]
    assert error["code"] == "not-allowed"
    assert "socket: {}" in error["remedy"]
    assert not bench.intake.readings
    unserved._farewells.close()
