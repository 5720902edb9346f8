"""Nagle's algorithm is switched off for the connection that appears, and for no other."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.session import nodelay


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many descriptors as the tests before these may have left open."""
    monkeypatch.setattr(nodelay, "MOST", 10_000)


def is_off(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_sockets_are_told_from_other_descriptors(listener: socket.socket, tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        found = nodelay.sockets()
        assert found is not None
        assert listener.fileno() in found
        assert file.fileno() not in found
    assert nodelay._is_socket(str(file)) is False


def test_the_new_connection_alone(listener: socket.socket) -> None:
    pauses: list[float] = []
    address = listener.getsockname()
    local, peer = socket.socketpair()
    with socket.create_connection(address) as older, local, peer:
        before = (nodelay.sockets() or frozenset()) - {local.fileno()}
        made: list[socket.socket] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                made.append(socket.create_connection(address))

        assert nodelay.on_new_connection(before, pause)
        assert is_off(made[0])
        assert not is_off(older)
        assert pauses == [nodelay.PAUSE] * 3
        # Its own descriptor stays open.
        os.fstat(made[0].fileno())
        made[0].close()


def test_a_look_sends_what_waits_already(listener: socket.socket) -> None:
    before = nodelay.sockets()
    assert not nodelay.look(before)
    assert not nodelay.look(None)
    with socket.create_connection(listener.getsockname()) as made:
        assert nodelay.look(before)
        assert is_off(made)


def test_it_gives_up(listener: socket.socket) -> None:
    pauses: list[float] = []
    assert not nodelay.on_new_connection(nodelay.sockets(), pauses.append)
    assert len(pauses) == nodelay.TRIES
    assert not nodelay.on_new_connection(None, pauses.append)
    assert len(pauses) == nodelay.TRIES
    assert listener.fileno() >= 0


def test_one_that_is_closed_meanwhile_is_none(listener: socket.socket) -> None:
    assert nodelay._set(listener.fileno())
    closed = os.dup(listener.fileno())
    os.close(closed)
    assert not nodelay._set(closed)


@pytest.mark.parametrize(("count", "are_looked_at"), [(0, True), (1, False)])
def test_many_descriptors_are_not_looked_through(
    monkeypatch: pytest.MonkeyPatch, count: int, are_looked_at: bool
) -> None:
    names = ["x"] * (nodelay.MOST + count)
    monkeypatch.setattr(os, "listdir", lambda _: names)
    assert (nodelay.sockets() is not None) is are_looked_at


def test_without_proc_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: object) -> list[str]:
        raise FileNotFoundError

    monkeypatch.setattr(os, "listdir", nothing)
    assert nodelay.sockets() == frozenset()
