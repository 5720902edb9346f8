"""Programs that close their connection, or a half of it, or read no answers."""

import socket

import pytest

from fleet_agent.telemetry.sources import connection
from support.programs import Program, begin, one_of, rest
from support.sources import LIMIT, Bench


def test_all_readings_of_a_program_that_closed_its_connection_are_taken(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    for number in range(20):
        program.send({"payload": number, "wait": True})
    program.socket.close()
    bench.until(20)
    bench.turn(lambda: not bench.sources[0]._admission)  # type: ignore[attr-defined]
    for report in bench.intake.acknowledge:
        report("")


def test_a_program_that_leaves_without_reading_its_answers_is_forgotten(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    client = one_of(bench)
    program.send({"payload": 1})
    bench.turn(lambda: bench.intake.stored)
    program.socket.close()
    bench.turn(lambda: not bench.sources[0]._admission)  # type: ignore[attr-defined]
    assert not client.is_waiting
    assert bench.problems() == {}


def test_a_half_closed_connection_still_gets_its_answers(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    program.send({"payload": 1})
    program.socket.shutdown(socket.SHUT_WR)
    bench.turn(lambda: len(program.received()) == 2)
    assert program.answers == [{"ok": True}, {"closed": True}]


def test_a_half_closed_connection_hears_that_aws_has_the_reading(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    program.send({"payload": 1, "wait": True})
    program.socket.shutdown(socket.SHUT_WR)
    bench.turn(lambda: program.received() == [{"ok": True}])
    rest(bench)
    for tell in bench.intake.acknowledge:
        tell("")
    bench.turn(lambda: len(program.received()) == 3)
    assert program.answers[1:] == [{"acknowledged": True}, {"closed": True}]


def test_a_half_closed_connection_that_is_closed_before_aws_answers_is_given_up(
    bench: Bench,
) -> None:
    begin(bench)
    program = Program(bench)
    program.send({"payload": 1, "wait": True})
    program.socket.shutdown(socket.SHUT_WR)
    bench.turn(lambda: program.received() == [{"ok": True}])
    program.socket.close()
    bench.turn(lambda: not bench.sources[0]._admission)  # type: ignore[attr-defined]


def test_a_half_closed_connection_is_left_alone_until_there_is_an_answer(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"payload": 1})
    program.socket.shutdown(socket.SHUT_WR)
    bench.until(1)
    rest(bench)
    bench.intake.commit()
    assert program.received() == [{"ok": True}, {"closed": True}]


def test_a_program_that_reads_no_answers_is_not_read_from_and_others_are(bench: Bench) -> None:
    begin(bench)
    deaf, calm = Program(bench), Program(bench)
    sent = 0
    deaf.socket.setblocking(False)
    limit = bench.clock.monotonic() + LIMIT
    while bench.clock.monotonic() < limit:
        try:
            deaf.socket.send(b'{"payload": 1}')
            sent += 1
        except BlockingIOError:
            before = len(bench.intake.readings)
            calm.ask({"payload": "calm"})
            for _ in range(50):
                bench.turn(lambda: True)
            if len(bench.intake.readings) == before + 1:
                break
    assert sent < 20_000
    bench.turn(lambda: len(deaf.received()) == sent)
    assert all(answer == {"ok": True} for answer in deaf.answers)


def test_a_program_that_reads_no_answers_costs_nothing_until_it_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BURST", 1)
    begin(bench)
    deaf = Program(bench)
    client = one_of(bench)
    client._client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    for number in range(60):
        deaf.send({"payload": number, "id": number, "wait": True})
    rest(bench)
    before = len(bench.intake.stored)
    assert 0 < before < 60
    for report in bench.intake.acknowledge[:before]:
        report(None)
    bench.intake.acknowledge.clear()
    rest(bench)
    bench.turn(lambda: len(deaf.received()) == 60 + before)
    answers = [answer["id"] for answer in deaf.answers if "ok" in answer]
    assert answers == list(range(60))
    assert [answer["id"] for answer in deaf.answers if "acknowledged" in answer] == list(
        range(before)
    )
    assert bench.intake.payloads == [str(number).encode() for number in range(60)]
    rest(bench)
