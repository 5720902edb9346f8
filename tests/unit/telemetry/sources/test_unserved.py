"""A socket that systemd holds and no source serves."""

import contextlib
import json
import math
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.telemetry.sources.unserved import Unserved
from support.clock import FakeClock
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
    unserved._lingering.close()


def test_with_no_descriptor_left_it_listens_again_after_a_while(
    listener: socket.socket,
) -> None:
    clock = FakeClock()
    mailbox = Mailbox(clock)
    unserved = Unserved(listener, mailbox, clock)
    assert unserved.due <= clock.monotonic()
    unserved.act()
    assert unserved.due == math.inf
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(listener.getsockname())
        ready = mailbox.wait(clock.monotonic())
        assert isinstance(ready, Ready)
        with no_descriptors():
            ready.act()
        assert unserved.due == clock.monotonic() + 10
        clock.go(9)
        unserved.act()
        # It costs nothing meanwhile.
        assert mailbox.wait(clock.monotonic()) is None
        clock.go(1)
        unserved.act()
        ready = mailbox.wait(clock.monotonic())
        assert isinstance(ready, Ready)
        ready.act()
        assert json.loads(client.recv(4096))["error"]["code"] == "not-allowed"
        # Nobody is there any more: who was first took it.
        ready.act()
        client.close()
        clock.go(3600)
        unserved.act()
        assert unserved.due == math.inf
    mailbox.unwatch(listener.fileno())


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """As in a process that has as many open as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
