"""Places on the socket, which one user's programs cannot take from another's: a second real user where we are root."""

import json
import os
import socket
from collections.abc import Callable

import pytest

from fleet_agent.local_clients import admission, lingering_close, unix_listener
from fleet_agent.telemetry.sources import connection
from fleet_agent.telemetry.sources import socket as sockets
from support.programs import Program, begin
from support.sources import Bench
from support.users import as_nobody

needs_two_users = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a second user")


def other_users(bench: Bench) -> Program:
    """A program of another user."""
    bench.socket.chmod(0o666)
    for folder in (bench.runtime_dir, *bench.runtime_dir.parents):
        if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    with as_nobody():
        return Program(bench)


def connected(bench: Bench, count: int) -> Callable[[], bool]:
    return lambda: len(bench.sources[0]._admission) == count  # type: ignore[attr-defined]


def first_answer(bench: Bench, program: Program) -> str:
    bench.turn(program.received)
    found: str = program.answers[0]["error"]["code"]
    return found


@needs_two_users
def test_one_users_idle_connections_lock_no_other_user_out(bench: Bench) -> None:
    begin(bench)
    idle = [Program(bench) for _ in range(sockets.MAX_CONNECTIONS)]
    bench.turn(connected(bench, sockets.MAX_CONNECTIONS))
    others = [other_users(bench) for _ in range(3)]
    for program in others:
        assert program.ask({"payload": 1}) == {"ok": True}
    # The longest idle gave way, and know why.
    for program in idle[:3]:
        assert first_answer(bench, program) == "busy"
        assert program.received()[-1] == {"closed": True}
    assert idle[3].ask({"payload": 2}) == {"ok": True}


@needs_two_users
def test_places_are_shared_evenly_and_no_further(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 4)
    begin(bench)
    ours = [Program(bench) for _ in range(4)]
    bench.turn(connected(bench, 4))
    theirs = [other_users(bench) for _ in range(2)]
    for program in theirs:
        assert program.ask({"payload": 1})["ok"]
    assert first_answer(bench, other_users(bench)) == "busy"
    assert first_answer(bench, Program(bench)) == "busy"
    for program in (*theirs, *ours[2:]):
        assert program.ask({"payload": 1})["ok"]


@needs_two_users
def test_who_waits_for_nothing_gives_way_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 2)
    begin(bench)
    waiting = Program(bench)
    assert waiting.ask({"payload": 1, "wait": True})["ok"]
    idle = Program(bench)
    bench.turn(connected(bench, 2))
    assert other_users(bench).ask({"payload": 1})["ok"]
    assert first_answer(bench, idle) == "busy"
    bench.intake.acknowledge[0](None)
    bench.turn(lambda: len(waiting.received()) == 2)
    assert waiting.answers[1] == {"acknowledged": True}


def test_an_idle_connection_gives_its_place_to_the_same_users_next_program(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(admission, "IDLE", 0.0)
    begin(bench)
    first, second = Program(bench), Program(bench)
    bench.turn(connected(bench, 2))
    assert first.ask({"payload": 1})["ok"]
    assert Program(bench).ask({"payload": 2})["ok"]
    assert first_answer(bench, second) == "busy"
    assert first.ask({"payload": 3})["ok"]


def test_who_sent_before_it_was_turned_away_reads_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 1)
    begin(bench)
    Program(bench)
    bench.turn(connected(bench, 1))
    hasty = Program(bench)
    hasty.send({"payload": 1})
    hasty.send({"payload": 2})
    assert first_answer(bench, hasty) == "busy"
    hasty.send({"payload": 3})
    bench.turn(lambda: len(hasty.received()) >= 2)
    assert hasty.socket.recv(100) == b""
    assert hasty.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert bench.intake.readings == []


def test_those_who_do_not_go_are_let_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(lingering_close, "MOST", 3)
    monkeypatch.setattr(lingering_close, "PATIENCE", 0.2)
    begin(bench)
    Program(bench)
    bench.turn(connected(bench, 1))
    late = [Program(bench) for _ in range(8)]
    for program in late:
        program.socket.send(b'{"payload": 1}')
    waiting = bench.sources[0]._lingering._until  # type: ignore[attr-defined]
    for program in late:
        assert first_answer(bench, program) == "busy"
        assert len(waiting) <= 3
    bench.turn(lambda: not waiting)
    for program in late:
        with pytest.raises(BrokenPipeError):
            program.socket.send(b"{}")


def test_one_users_programs_share_what_may_be_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_USER_BYTES", 1000)
    monkeypatch.setattr(connection, "MAX_USER_WAITS", 6)
    begin(bench)
    bench.intake.is_held = True
    programs = [Program(bench) for _ in range(4)]
    for program in programs:
        for number in range(4):
            program.send({"payload": "x" * 298, "wait": True, "id": number})
    bench.until(6)
    for _ in range(50):
        bench.turn(lambda: True)
    # Each is read once more before it is held.
    assert sum(len(reading.payload) for reading in bench.intake.readings) < 1000 + 4 * 300
    bench.intake.is_held = False
    bench.turn(lambda: all(len(program.received()) == 4 for program in programs))
    codes = [answer.get("error", {}).get("code") for each in programs for answer in each.answers]
    assert codes.count("busy") == 10
    assert codes.count(None) == 6
    for report in bench.intake.acknowledge:
        report(None)
    assert Program(bench).ask({"payload": 1, "wait": True})["ok"]


def test_nobodys_rubbish_holds_others_up(bench: Bench) -> None:
    begin(bench)
    noisy, calm = Program(bench), Program(bench)
    bench.turn(connected(bench, 2))
    noisy.socket.setblocking(False)
    rubbish = b"[" * 100_000
    sent = 0
    try:
        while True:
            noisy.socket.send(rubbish)
            sent += 1
    except BlockingIOError:
        pass
    calm.socket.send(json.dumps({"payload": "calm"}).encode())
    bench.turn(lambda: bench.intake.readings)
    assert len(noisy.received()) <= 1 + connection.BURST_BYTES // len(rubbish)
    bench.turn(lambda: len(noisy.received()) == sent)
    assert {answer["error"]["code"] for answer in noisy.answers} == {"bad-packet"}


@pytest.mark.parametrize("what", ["removed", "folder removed"])
def test_a_socket_that_somebody_removes_is_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(unix_listener, "CHECK_INTERVAL", 0.05)
    source = begin(bench)
    before = Program(bench)
    assert before.ask({"payload": 1})["ok"]
    source.path.unlink()
    if what == "folder removed":
        bench.runtime_dir.joinpath("status.json").unlink()
        bench.runtime_dir.rmdir()
    bench.turn(source.path.is_socket)
    assert source.path.stat().st_mode & 0o777 == 0o660
    assert Program(bench).ask({"payload": 2})["ok"]
    assert before.ask({"payload": 3})["ok"]


def test_a_socket_that_cannot_be_made_again_is_a_problem_until_it_can(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_listener, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(unix_listener, "RETRY", 0.05)
    source = begin(bench)
    source.path.unlink()
    source.path.write_text("mine")
    bench.turn(bench.problems)
    assert "cannot listen" in bench.problems()["source-failed socket"]
    source.path.unlink()
    bench.turn(lambda: not bench.problems())
    assert Program(bench).ask({"payload": 1})["ok"]
