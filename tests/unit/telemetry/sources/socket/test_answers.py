"""What a program is answered, and when."""

import json
import subprocess
import sys

from support.programs import Program, begin, one_of
from support.sources import Bench


def test_a_reading_is_answered_once_it_is_durable(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"topic": "dt/pump-7/meter", "payload": {"kwh": 1.5, "ü": [None, True]}})
    bench.until(1)
    assert program.received() == []
    bench.intake.commit()
    assert program.received() == [{"ok": True}]
    (reading,) = bench.intake.readings
    assert (reading.topic, reading.payload) == (
        "dt/pump-7/meter",
        '{"kwh":1.5,"ü":[null,true]}'.encode(),
    )
    assert reading.content_type == "application/json"
    assert reading.expires is None
    # That AWS has it is said to nobody who did not ask.
    assert bench.intake.acknowledge == []


def test_with_wait_a_second_packet_reports_the_acknowledgement(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    assert program.ask({"payload": 1, "wait": True, "id": 7}) == {"ok": True, "id": 7}
    assert program.ask({"payload": 2, "wait": True, "id": "b"}) == {"ok": True, "id": "b"}
    first, second = bench.intake.acknowledge
    second("")
    first("dropped, the queue is full")
    reported = program.received()[2:]
    assert reported[0] == {"acknowledged": True, "id": "b"}
    assert (reported[1]["acknowledged"], reported[1]["id"]) == (False, 7)
    assert reported[1]["error"]["code"] == "never-sent"
    assert "dropped, the queue is full" in reported[1]["error"]["title"]


def test_the_acknowledgement_comes_after_the_answer(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"payload": 1, "wait": True})
    bench.until(1)
    bench.intake.acknowledge[0]("")
    assert program.received() == []
    bench.intake.commit()
    assert program.received() == [{"ok": True}, {"acknowledged": True}]


def test_answers_come_in_the_order_of_the_packets(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"payload": 1, "id": 1})
    program.send(b"no json")
    program.send({"payload": 3, "id": 3})
    bench.until(2)
    assert program.received() == []
    bench.intake.commit()
    reported = program.received()
    assert [each["ok"] for each in reported] == [True, False, True]
    assert [each.get("id") for each in reported] == [1, None, 3]


def test_a_reading_that_could_not_be_stored_is_reported(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"payload": 1, "id": 5})
    bench.until(1)
    bench.intake.commit("the disk is full")
    (reported,) = program.received()
    assert (reported["error"]["code"], reported["id"]) == ("not-stored", 5)
    assert "the disk is full" in reported["error"]["title"]


def test_a_program_that_sends_on_is_distinguished_from_one_that_waits(bench: Bench) -> None:
    begin(bench)
    waits, sends_on = Program(bench), Program(bench)
    assert waits.ask({"payload": 1}) == {"ok": True}
    assert waits.ask({"payload": 2}) == {"ok": True}
    assert bench.intake.sent_on == [False, False]
    bench.intake.is_held = True
    for number in range(3):
        sends_on.send({"payload": number})
    bench.until(5)
    waits.send({"payload": 3})
    bench.until(6)
    assert bench.intake.sent_on[2:] == [False, True, True, False]


def test_a_program_that_waits_for_an_answer_or_for_aws_is_not_idle(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    client = one_of(bench)
    waits = [client.is_waiting]
    program.send({"payload": 1})
    bench.until(1)
    waits.append(client.is_waiting)
    bench.intake.commit()
    waits.append(client.is_waiting)
    program.send({"payload": 2, "wait": True})
    bench.until(2)
    bench.intake.commit()
    waits.append(client.is_waiting)
    bench.intake.acknowledge[0](None)
    waits.append(client.is_waiting)
    assert waits == [False, True, False, True, False]
    assert program.received() == [{"ok": True}, {"ok": True}, {"acknowledged": True}]


PYTHON = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.send(json.dumps({"payload": {"celsius": 21.5}}).encode())
print(s.recv(4096).decode())
"""


def test_another_process_sends_a_reading_in_five_lines(bench: Bench) -> None:
    source = begin(bench)
    with subprocess.Popen(
        [sys.executable, "-c", PYTHON, str(source.path)], stdout=subprocess.PIPE, text=True
    ) as process:
        bench.turn(lambda: process.poll() is not None)
        assert process.stdout is not None
        assert json.loads(process.stdout.read()) == {"ok": True}
    assert bench.intake.payloads == [b'{"celsius":21.5}']
