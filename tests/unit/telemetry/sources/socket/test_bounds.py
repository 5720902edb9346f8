"""How much a program, and a user, may have open."""

import pytest

from fleet_agent.telemetry.sources import connection
from fleet_agent.telemetry.sources import socket as sockets
from support.programs import Program, begin, rest
from support.sources import Bench


def test_programs_beyond_the_bound_are_turned_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 3)
    begin(bench)
    programs = [Program(bench) for _ in range(3)]
    bench.turn(lambda: len(bench.sources[0]._admission) == 3)  # type: ignore[attr-defined]
    late = Program(bench)
    bench.turn(lambda: len(late.received()) == 2)
    assert late.answers[0]["error"]["code"] == "busy"
    programs[0].socket.close()
    bench.turn(lambda: len(bench.sources[0]._admission) == 2)  # type: ignore[attr-defined]
    assert Program(bench).ask({"payload": 1})["ok"]


def test_a_program_faster_than_the_disk_does_not_hold_up_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_OPEN", 50)
    begin(bench)
    bench.intake.is_held = True
    hasty, calm = Program(bench), Program(bench)
    for number in range(100):
        hasty.send({"payload": number})
    bench.until(50)
    calm.send({"payload": "calm"})
    bench.turn(lambda: b'"calm"' in bench.intake.payloads)
    assert len(bench.intake.readings) == 51
    bench.intake.is_held = False
    bench.turn(lambda: len(hasty.received()) == 100)
    assert [payload for payload in bench.intake.payloads if payload != b'"calm"'] == [
        str(number).encode() for number in range(100)
    ]


def test_refused_packets_count_towards_the_bound_while_they_wait_for_their_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_OPEN", 50)
    begin(bench)
    bench.intake.is_held = True
    program, calm = Program(bench), Program(bench)
    program.send({"payload": 1})
    bench.until(1)
    for _ in range(100):
        program.send({"no": "payload"})
    calm.send({"payload": "calm"})
    bench.until(2)
    clients = bench.sources[0]._admission  # type: ignore[attr-defined]
    assert sorted(len(client._slots) for client in clients) == [1, 50]
    bench.intake.is_held = False
    bench.turn(lambda: len(program.received()) == 101)
    assert program.answers[0] == {"ok": True}


def store(bench: Bench, count: int) -> None:
    """The first so many that wait become durable."""
    for _ in range(count):
        _, on_stored = bench.intake.waiting.pop(0)
        assert on_stored
        on_stored(None)


def test_a_program_with_too_many_bytes_open_is_read_again_when_half_are_durable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_OPEN_BYTES", 1000)
    begin(bench)
    bench.intake.is_held = True
    program, calm = Program(bench), Program(bench)
    for size in (400, 200, 400, 100, 400, 600):
        program.send({"payload": "x" * size, "encoding": "text"})
    rest(bench)
    assert len(bench.intake.readings) == 3
    store(bench, 1)
    rest(bench)
    assert len(bench.intake.readings) == 3
    calm.send({"payload": "calm"})
    rest(bench)
    assert len(bench.intake.readings) == 4
    store(bench, 1)
    rest(bench)
    # 400, 100, 400, 600: at the last one it is full again.
    assert len(bench.intake.readings) == 7
    assert len(program.received()) == 2
    store(bench, 5)
    for size in (500, 500):
        program.send({"payload": "x" * size, "encoding": "text"})
    rest(bench)
    assert len(bench.intake.readings) == 9
    program.send({"payload": 1})
    rest(bench)
    assert len(bench.intake.readings) == 9
    store(bench, 2)
    rest(bench)
    store(bench, 1)
    assert program.received() == [{"ok": True}] * 9


def test_programs_of_one_user_are_read_again_when_half_of_their_bytes_are_durable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_USER_BYTES", 1000)
    begin(bench)
    bench.intake.is_held = True
    programs = [Program(bench) for _ in range(2)]
    for _ in range(2):
        programs[0].send({"payload": "x" * 500, "encoding": "text"})
    rest(bench)
    assert len(bench.intake.readings) == 2
    programs[0].send({"payload": 1})
    programs[1].send({"payload": 2})
    rest(bench)
    # Who was not held yet is read once more.
    assert bench.intake.payloads[2:] == [b"2"]
    programs[1].send({"payload": 3})
    store(bench, 1)
    rest(bench)
    assert len(bench.intake.readings) == 3
    store(bench, 1)
    rest(bench)
    assert sorted(bench.intake.payloads[3:]) == [b"1", b"3"]
    store(bench, 3)
    assert [len(program.received()) for program in programs] == [3, 2]
    clients = bench.sources[0]._admission  # type: ignore[attr-defined]
    (usage,) = {client._usage for client in clients}
    assert (usage.bytes, usage.held) == (0, set())


@pytest.mark.parametrize(
    ("name", "whose"), [("MAX_WAITS", "connection"), ("MAX_USER_WAITS", "user")]
)
def test_the_readings_that_wait_for_aws_are_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, whose: str
) -> None:
    monkeypatch.setattr(connection, name, 3)
    begin(bench)
    program = Program(bench)
    for _ in range(3):
        assert program.ask({"payload": 1, "wait": True})["ok"]
    for _ in range(3):
        refused = program.ask({"payload": 2, "wait": True, "id": "late"})
        assert (refused["error"]["code"], refused["id"]) == ("busy", "late")
        assert (
            refused["error"]["title"] == f"3 readings of this {whose} are already waiting for AWS."
        )
        assert program.ask({"payload": 3})["ok"]
        bench.intake.acknowledge.pop(0)(None)
        assert program.received()[-1] == {"acknowledged": True}
        assert program.ask({"payload": 4, "wait": True})["ok"]
    assert len(bench.intake.acknowledge) == 3
