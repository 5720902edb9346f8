import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.process import notify


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_what_systemd_is_told(systemd: socket.socket) -> None:
    notify.ready()
    notify.status("connected")
    notify.alive()
    notify.stopping()
    reported = [systemd.recv(100).strip() for _ in range(4)]
    assert reported == [b"READY=1", b"STATUS=connected", b"WATCHDOG=1", b"STOPPING=1"]


def test_the_watchdog_waits_longer_for_long_work(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    with notify.long_work(0.0):
        notify.ready()
    assert systemd.recv(100) == b"READY=1"
    with contextlib.suppress(OSError), notify.long_work(12.5):
        assert systemd.recv(100) == b"WATCHDOG_USEC=72500000\nWATCHDOG=1"
        raise OSError
    assert systemd.recv(100) == b"WATCHDOG_USEC=60000000\nWATCHDOG=1"
    monkeypatch.delenv("WATCHDOG_USEC")
    with notify.long_work(12.5):
        notify.ready()
    assert systemd.recv(100) == b"READY=1"


def test_outside_a_unit_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.ready()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "rubbish"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_how_often_the_watchdog_wants_to_hear(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], seconds: float | None
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert notify.watchdog_interval() == seconds
