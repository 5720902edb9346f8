"""The listener of a socket that is not ours alone: systemd made it, and anybody may have removed it meanwhile."""

import errno
import grp
import os
import resource
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.local_clients.unix_listener import CHECK_INTERVAL, RETRY, UnixListener
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.mailbox import Mailbox, Ready
from support.clock import FakeClock
from support.users import as_nobody


class Watched(Listeners):
    """Notes how a socket's file stands when its path is there."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[os.stat_result] = []

    def listen(
        self, path: Path, prepare: Callable[[Path], object] = lambda _: None
    ) -> socket.socket:
        listener = super().listen(path, prepare)
        self.found.append(path.stat())
        return listener


def opened(path: Path, listeners: Listeners, **more: object) -> list[str | None]:
    """What the listener says as it opens; its socket stays."""
    said: list[str | None] = []
    clock = SystemClock()
    listener = UnixListener(
        path, listeners, Mailbox(clock), clock,
        admit=lambda *_: None, opened=said.append, failed=said.append, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    listener.act()
    listener.close()
    return said


def made(path: Path, listeners: Listeners | None = None, **more: object) -> list[str | None]:
    """What the listener says as it opens."""
    listeners = listeners or Listeners()
    said = opened(path, listeners, **more)
    for given in listeners.given():
        listeners.listen(given).close()
    listeners.close()
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root's socket")
def test_one_of_root_that_is_not_for_all_is_a_problem_and_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as given,
    ):
        Path(folder).chmod(0o755)
        path = Path(folder) / "x.sock"
        given.bind(str(path))
        given.listen()
        path.chmod(0o600)
        inode = path.stat()
        monkeypatch.setenv(
            "FLEET_AGENT_LISTENERS",
            f'{{"{path}": [{os.dup(given.fileno())}, {inode.st_dev}, {inode.st_ino}, true]}}',
        )
        with as_nobody():
            (words,) = made(path, is_for_all=True)
    assert words == f"{path} is not open to all users: Operation not permitted"


def test_a_group_of_no_possible_number_is_a_problem_and_no_end(tmp_path: Path) -> None:
    (words,) = made(tmp_path / "x.sock", group="9" * 30)
    assert words == f"there is no group {'9' * 30}"


def test_a_path_that_no_socket_can_have_is_named_with_what_helps(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 100) / "x.sock"
    (words,) = made(path)
    assert words is not None
    assert f"cannot listen on {path}: its path has {len(str(path))} bytes" in words
    assert "a shorter runtime_dir helps" in words


def test_who_may_open_it_may_from_the_moment_that_it_is_there(tmp_path: Path) -> None:
    watched = Watched()
    assert made(tmp_path / "all.sock", watched, is_for_all=True) == [None]
    assert made(tmp_path / "ours.sock", watched) == [None]
    assert [found.st_mode & 0o777 for found in watched.found] == [0o666, 0o660]


OPEN = [{"is_for_all": True}, {"group": "12345"}]


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to any group takes root")
@pytest.mark.parametrize("before", OPEN)
@pytest.mark.parametrize(
    ("after", "gid"), [({}, None), ({"group": "nobody's"}, None), ({"group": "12346"}, 12346)]
)
def test_who_may_not_open_it_any_more_cannot_after_a_reload(
    tmp_path: Path, before: dict[str, object], after: dict[str, object], gid: int | None
) -> None:
    """The socket stays, and stayed open to all, or to the group before."""
    path, listeners = tmp_path / "x.sock", Listeners()
    opened(path, listeners, **before)
    opened(path, listeners, **after)
    found = path.stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, os.getegid() if gid is None else gid)
    listeners.close()


@pytest.mark.parametrize("more", [{}, {"is_for_all": True}])
def test_where_nothing_may_be_given_away_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object]
) -> None:
    """The unit's filter of system calls has no chown in it."""

    def filtered(*_: object) -> NoReturn:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", filtered)
    assert made(tmp_path / "x.sock", None, **more) == [None]


def act(mailbox: Mailbox) -> None:
    """Does what a descriptor that is ready by now is watched for."""
    ready = mailbox.wait(0.0)
    assert isinstance(ready, Ready)
    ready.act()


def test_who_comes_while_no_descriptor_is_left_waits_and_is_let_in_later(tmp_path: Path) -> None:
    path, clock, listeners = tmp_path / "x.sock", FakeClock(), Listeners()
    mailbox = Mailbox(clock)
    said: list[str | None] = []
    admitted: list[socket.socket] = []
    listener = UnixListener(
        path, listeners, mailbox, clock,
        admit=lambda client, _: admitted.append(client), opened=said.append, failed=said.append,
    )  # fmt: skip
    listener.act()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as program:
        program.connect(str(path))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
            act(mailbox)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert said == [None, f"cannot accept connections on {path}: Too many open files"]
        assert not listener.is_open
        assert path.is_socket()
        clock.go(RETRY)
        listener.act()
        act(mailbox)
        assert said[2:] == [None]
        (client,) = admitted
        client.close()
    listener.close()
    listeners.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to any group takes root")
def test_a_group_that_is_made_later_is_given_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock, listeners = tmp_path / "x.sock", FakeClock(), Listeners()
    said: list[str | None] = []
    listener = UnixListener(
        path, listeners, Mailbox(clock), clock,
        admit=lambda *_: None, opened=said.append, failed=said.append, group="later",
    )  # fmt: skip
    listener.act()
    for _ in range(3):
        clock.go(CHECK_INTERVAL)
        listener.act()
    later = grp.struct_group(("later", "x", 12345, []))
    monkeypatch.setattr(grp, "getgrnam", {"later": later}.__getitem__)
    clock.go(CHECK_INTERVAL)
    listener.act()
    assert said == ["there is no group later", None]
    assert path.stat().st_gid == 12345
    listener.close()
    listeners.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to any group takes root")
def test_a_group_may_open_it_from_the_moment_that_it_is_there(tmp_path: Path) -> None:
    watched = Watched()
    assert made(tmp_path / "x.sock", watched, group="12345") == [None]
    assert [(found.st_gid, found.st_mode & 0o777) for found in watched.found] == [(12345, 0o660)]
