"""Programs that send over a real socket."""

import base64
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.config.readings import Allow, SocketSource
from fleet_agent.local_clients import unix_listener
from fleet_agent.process.mailbox import Ready
from fleet_agent.telemetry.reading import MAX_PAYLOAD
from fleet_agent.telemetry.sources import connection, packet
from fleet_agent.telemetry.sources import socket as sockets
from fleet_agent.telemetry.sources.allow_list import AllowList
from fleet_agent.telemetry.sources.connection import Connection
from fleet_agent.telemetry.sources.socket import Socket
from support.programs import EVERYBODY, Program, begin
from support.sources import LIMIT, Bench


def test_a_reading_is_answered_once_it_is_durable(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"topic": "dt/pump-7/meter", "payload": {"kwh": 1.5, "ü": [None, True]}})
    bench.until(1)
    assert program.hear() == []
    bench.intake.commit()
    assert program.hear() == [{"ok": True}]
    (reading,) = bench.intake.readings
    assert (reading.topic, reading.payload) == (
        "dt/pump-7/meter",
        '{"kwh":1.5,"ü":[null,true]}'.encode(),
    )
    assert reading.content_type == "application/json"
    assert reading.expires is None
    # That AWS has it is said to nobody who did not ask.
    assert bench.intake.acknowledge == []


def test_topic_encoding_and_expiry(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    assert program.ask({"payload": "on", "encoding": "text", "expires": 60})["ok"]
    data = base64.b64encode(b"\xff\n").decode()
    assert program.ask({"topic": "dt/{thing}/{site}", "payload": data, "encoding": "base64"})["ok"]
    assert program.ask({"payload": "a\nb", "qos": 0})["ok"]
    text, binary, string = bench.intake.readings
    assert (text.topic, text.payload, text.content_type) == (
        "dt/pump-7/socket",
        b"on",
        "text/plain; charset=utf-8",
    )
    assert text.expires == text.time + 60
    assert (binary.topic, binary.payload) == ("dt/pump-7/north", b"\xff\n")
    assert string.payload == b'"a\\nb"'  # one line, whatever is in it


def test_with_wait_the_second_packet_tells_that_aws_has_it(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    assert program.ask({"payload": 1, "wait": True, "id": 7}) == {"ok": True, "id": 7}
    assert program.ask({"payload": 2, "wait": True, "id": "b"}) == {"ok": True, "id": "b"}
    first, second = bench.intake.acknowledge
    second("")
    first("dropped, the queue is full")
    reported = program.hear()[2:]
    assert reported[0] == {"acknowledged": True, "id": "b"}
    assert (reported[1]["acknowledged"], reported[1]["id"]) == (False, 7)
    assert reported[1]["error"]["code"] == "never-sent"
    assert "dropped, the queue is full" in reported[1]["error"]["title"]


def test_what_aws_says_comes_after_the_answer(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"payload": 1, "wait": True})
    bench.until(1)
    bench.intake.acknowledge[0]("")
    assert program.hear() == []
    bench.intake.commit()
    assert program.hear() == [{"ok": True}, {"acknowledged": True}]


def test_who_sends_on_without_its_answer_is_told_from_who_waits(bench: Bench) -> None:
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


def test_answers_come_in_the_order_of_the_packets(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"payload": 1, "id": 1})
    program.send(b"no json")
    program.send({"payload": 3, "id": 3})
    bench.until(2)
    assert program.hear() == []
    bench.intake.commit()
    reported = program.hear()
    assert [each["ok"] for each in reported] == [True, False, True]
    assert [each.get("id") for each in reported] == [1, None, 3]


def test_what_could_not_be_stored_is_told(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"payload": 1, "id": 5})
    bench.until(1)
    bench.intake.commit("the disk is full")
    (reported,) = program.hear()
    assert (reported["error"]["code"], reported["id"]) == ("not-stored", 5)
    assert "the disk is full" in reported["error"]["title"]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"{", "bad-packet"),
        (b"\xff\xfe", "bad-packet"),
        (b"[" * 100_000, "bad-packet"),
        ([1], "bad-packet"),
        ({}, "bad-packet"),
        ({"payload": 1, "topik": "x"}, "bad-packet"),
        ({"payload": 1, "topic": 5}, "bad-packet"),
        ({"payload": 1, "qos": 2}, "bad-packet"),
        ({"payload": 1, "wait": "yes"}, "bad-packet"),
        ({"payload": 1, "id": [1]}, "bad-packet"),
        ({"payload": 1, "expires": -5}, "bad-packet"),
        ({"payload": 1, "expires": True}, "bad-packet"),
        (b'{"payload": 1, "expires": NaN}', "bad-packet"),
        (b'{"payload": NaN}', "bad-packet"),
        (b'{"payload": 1e999}', "bad-packet"),
        ({"payload": "\ud800"}, "bad-packet"),
        ({"payload": 1, "encoding": "text"}, "bad-packet"),
        ({"payload": "*", "encoding": "base64"}, "bad-packet"),
        ({"payload": "x", "encoding": "utf-16"}, "bad-packet"),
        ({"payload": "x" * MAX_PAYLOAD}, "too-large"),
        (b"x" * (connection.SCRATCH + 5), "too-large"),
        ({"payload": 1, "topic": "dt/+/x"}, "bad-topic"),
        ({"payload": 1, "topic": "a/b/c/d/e/f/g/h/i"}, "bad-topic"),
        ({"payload": 1, "topic": "dt/{nothing}"}, "bad-topic"),
        ({"payload": 1, "topic": "dt/x\ny"}, "bad-topic"),
        ({"payload": 1, "topic": "dt/other/x"}, "not-allowed"),
        ({"payload": 1, "topic": "$aws/things/pump-7/shadow/update"}, "not-allowed"),
    ],
)
def test_what_is_refused_is_told_why_and_the_next_is_taken(
    bench: Bench, packet: object, code: str
) -> None:
    begin(bench)
    program = Program(bench)
    reported = program.ask(packet)
    assert reported["ok"] is False
    assert reported["error"]["code"] == code
    assert reported["error"]["title"]
    assert reported["error"]["remedy"]
    assert program.ask({"payload": 2}) == {"ok": True}
    assert bench.intake.payloads == [b"2"]


def test_the_allow_list_goes_by_the_users_number(bench: Bench) -> None:
    allow = [
        Allow(user=str(os.getuid()), topics=("dt/{thing}/a", "dt/{thing}/b/+")),
        Allow(user="12345", topics=("#",)),
    ]
    begin(bench, allow)
    program = Program(bench)
    assert program.ask({"topic": "dt/pump-7/a", "payload": 1})["ok"]
    assert program.ask({"topic": "dt/pump-7/b/c", "payload": 1})["ok"]
    reported = program.ask({"topic": "dt/pump-7/c", "payload": 1, "id": 0})
    assert (reported["error"]["code"], reported["id"]) == ("not-allowed", 0)
    assert f'{{user: {os.getuid()}, topics: ["dt/pump-7/c"]}}' in reported["error"]["remedy"]
    assert program.ask({"payload": 1})["error"]["code"] == "not-allowed"


def test_a_hidden_or_unknown_user_is_a_problem_and_the_rest_works(
    bench: Bench, tmp_path: Path
) -> None:
    map_file = tmp_path / "uid_map"
    map_file.write_text("         0          0          1\n       998        998          1\n")
    allow = [Allow(user="no-such-user", topics=("#",)), Allow(user="12345", topics=("#",))]
    found = AllowList(allow, str, str, map_file)
    assert found.problems == [
        "there is no user no-such-user",
        "the unit's PrivateUsers=yes hides who sends",
    ]
    assert AllowList(EVERYBODY, str, str, map_file).problems == []
    begin(bench, [*allow, *EVERYBODY])
    assert bench.problems()["source-failed socket"].endswith(": there is no user no-such-user.")
    assert Program(bench).ask({"payload": 1})["ok"]


def test_the_socket_is_for_owner_and_group_and_goes_with_the_agent(bench: Bench) -> None:
    source = begin(bench)
    found = source.path.stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, os.getgid())
    source.close()
    # It stays for a new image of the process; who connects waits there.
    assert source.path.exists()
    bench.listeners.close()
    assert not source.path.exists()


def test_it_is_given_to_the_group(bench: Bench) -> None:
    group = next((number for number in os.getgroups() if number != os.getgid()), 12345)
    if os.getuid() != 0 and group == 12345:
        pytest.skip("this user has one group")
    assert begin(bench, group=str(group)).path.stat().st_gid == group
    assert bench.problems() == {}


def test_a_group_that_is_not_is_a_problem_and_the_socket_works(bench: Bench) -> None:
    begin(bench, group="no-such-group")
    assert "there is no group no-such-group" in bench.problems()["source-failed socket"]
    assert Program(bench).ask({"payload": 1})["ok"]


def test_one_left_by_a_killed_agent_is_replaced(bench: Bench) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.bind(str(bench.runtime_dir / packet.NAME))
    left.close()
    begin(bench)
    assert Program(bench).ask({"payload": 1})["ok"]


def test_something_else_in_its_place_is_a_problem_that_heals(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_listener, "RETRY", 0.05)
    path = bench.runtime_dir / packet.NAME
    path.write_text("mine")
    bench.sources = [
        Socket(
            SocketSource(),
            bench.feed("socket"),
            bench.mailbox,
            bench.socket,
            bench.listeners,
            AllowList((), str, str),
        )
    ]
    bench.turn(bench.problems)
    assert "cannot listen" in bench.problems()["source-failed socket"]
    path.unlink()
    bench.turn(path.is_socket)
    bench.turn(lambda: not bench.problems())


def test_one_that_sends_and_goes_is_heard_whole(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    for number in range(20):
        program.send({"payload": number, "wait": True})
    program.socket.close()
    bench.until(20)
    bench.turn(lambda: not bench.sources[0]._admission)  # type: ignore[attr-defined]
    for tell in bench.intake.acknowledge:
        tell("")


def test_one_that_sends_no_more_still_gets_its_answers(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    program.send({"payload": 1})
    program.socket.shutdown(socket.SHUT_WR)
    bench.turn(lambda: len(program.hear()) == 2)
    assert program.answers == [{"ok": True}, {"closed": True}]


def test_beyond_the_bound_programs_are_turned_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 3)
    begin(bench)
    programs = [Program(bench) for _ in range(3)]
    bench.turn(lambda: len(bench.sources[0]._admission) == 3)  # type: ignore[attr-defined]
    late = Program(bench)
    bench.turn(lambda: len(late.hear()) == 2)
    assert late.answers[0]["error"]["code"] == "busy"
    programs[0].socket.close()
    bench.turn(lambda: len(bench.sources[0]._admission) == 2)  # type: ignore[attr-defined]
    assert Program(bench).ask({"payload": 1})["ok"]


def test_a_program_faster_than_the_disk_waits_and_others_do_not(
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
    bench.turn(lambda: len(hasty.hear()) == 100)
    assert [payload for payload in bench.intake.payloads if payload != b'"calm"'] == [
        str(number).encode() for number in range(100)
    ]


def test_what_is_refused_waits_behind_what_is_not_stored_only_up_to_the_bound(
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
    bench.turn(lambda: len(program.hear()) == 101)
    assert program.answers[0] == {"ok": True}


def test_one_that_reads_no_answers_is_not_read_from_and_others_are(bench: Bench) -> None:
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
    bench.turn(lambda: len(deaf.hear()) == sent)
    assert all(answer == {"ok": True} for answer in deaf.answers)


def one_of(bench: Bench) -> Connection:
    """The only connection."""
    source = bench.sources[0]
    assert isinstance(source, Socket)
    bench.turn(lambda: len(source._admission) == 1)
    (client,) = source._admission
    assert isinstance(client, Connection)
    return client


def store(bench: Bench, count: int) -> None:
    """The first so many that wait become durable."""
    for _ in range(count):
        _, on_stored = bench.intake.waiting.pop(0)
        assert on_stored
        on_stored(None)


def rest(bench: Bench) -> None:
    """Turns until nothing is left to do, which is soon."""
    limit = bench.clock.monotonic() + LIMIT
    while event := bench.mailbox.wait(bench.clock.monotonic() + 0.01):
        assert isinstance(event, Ready)
        event.act()
        if not bench.intake.is_held:
            bench.intake.commit()
        assert bench.clock.monotonic() < limit, "it spins"


def test_one_with_too_many_bytes_open_is_read_again_when_half_of_them_are_durable(
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
    assert len(program.hear()) == 2
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
    assert program.hear() == [{"ok": True}] * 9


def test_of_one_users_programs_each_is_read_again_when_half_of_all_is_durable(
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
    # Who was not held yet is heard once more.
    assert bench.intake.payloads[2:] == [b"2"]
    programs[1].send({"payload": 3})
    store(bench, 1)
    rest(bench)
    assert len(bench.intake.readings) == 3
    store(bench, 1)
    rest(bench)
    assert sorted(bench.intake.payloads[3:]) == [b"1", b"3"]
    store(bench, 3)
    assert [len(program.hear()) for program in programs] == [3, 2]
    clients = bench.sources[0]._admission  # type: ignore[attr-defined]
    (usage,) = {client._usage for client in clients}
    assert (usage.bytes, usage.held) == (0, set())


@pytest.mark.parametrize(
    ("name", "whose"), [("MAX_WAITS", "connection"), ("MAX_USER_WAITS", "user")]
)
def test_only_so_many_readings_wait_for_aws_at_a_time(
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
        assert refused["error"]["title"] == f"3 readings of this {whose} wait for AWS already."
        assert program.ask({"payload": 3})["ok"]
        bench.intake.acknowledge.pop(0)(None)
        assert program.hear()[-1] == {"acknowledged": True}
        assert program.ask({"payload": 4, "wait": True})["ok"]
    assert len(bench.intake.acknowledge) == 3


def test_who_waits_for_an_answer_or_for_aws_is_not_idle(bench: Bench) -> None:
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
    assert program.hear() == [{"ok": True}, {"ok": True}, {"acknowledged": True}]


def test_the_largest_packet_is_taken(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    whole = b'{"payload": 1}'
    assert program.ask(whole.ljust(packet.MAX_PACKET))["ok"]
    assert program.ask(whole.ljust(packet.MAX_PACKET + 1))["error"]["code"] == "too-large"


def test_one_that_reads_no_answers_waits_and_costs_nothing_until_it_does(
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
    for tell in bench.intake.acknowledge[:before]:
        tell(None)
    bench.intake.acknowledge.clear()
    rest(bench)
    bench.turn(lambda: len(deaf.hear()) == 60 + before)
    answers = [answer["id"] for answer in deaf.answers if "ok" in answer]
    assert answers == list(range(60))
    assert [answer["id"] for answer in deaf.answers if "acknowledged" in answer] == list(
        range(before)
    )
    assert bench.intake.payloads == [str(number).encode() for number in range(60)]
    rest(bench)


def test_one_that_goes_without_reading_its_answers_is_let_go(bench: Bench) -> None:
    begin(bench)
    program = Program(bench)
    client = one_of(bench)
    program.send({"payload": 1})
    bench.turn(lambda: bench.intake.stored)
    program.socket.close()
    bench.turn(lambda: not bench.sources[0]._admission)  # type: ignore[attr-defined]
    assert not client.is_waiting
    assert bench.problems() == {}


def test_one_that_sends_no_more_is_not_looked_at_until_there_is_an_answer(bench: Bench) -> None:
    begin(bench)
    bench.intake.is_held = True
    program = Program(bench)
    program.send({"payload": 1})
    program.socket.shutdown(socket.SHUT_WR)
    bench.until(1)
    rest(bench)
    bench.intake.commit()
    assert program.hear() == [{"ok": True}, {"closed": True}]


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
MEMBERS = ("topic", "payload", "encoding", "qos", "expires", "wait", "id")
PACKETS = (
    some.binary(min_size=1, max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | some.dictionaries(
        some.sampled_from(MEMBERS), JSON | some.sampled_from(["text", "base64", "dt/pump-7/x", 1])
    ).map(lambda value: json.dumps(value).encode())
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(packets=some.lists(PACKETS, min_size=1, max_size=10))
def test_whatever_comes_gets_one_answer_each_and_harms_nothing(
    bench: Bench, packets: list[bytes]
) -> None:
    if not bench.sources:
        begin(bench)
    before = len(bench.intake.stored)
    program = Program(bench)
    for each in packets:
        program.send(each)
    bench.turn(lambda: len(program.hear()) == len(packets))
    taken = bench.intake.stored[before:]
    assert sum(answer["ok"] for answer in program.answers) == len(taken)
    for reading in taken:
        assert reading.topic.startswith("dt/pump-7/")
        if reading.content_type == "application/json":
            assert b"\n" not in reading.payload
            json.loads(reading.payload, parse_constant=pytest.fail)
    program.socket.close()


PYTHON = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.send(json.dumps({"payload": {"celsius": 21.5}}).encode())
print(s.recv(4096).decode())
"""


def test_another_process_does_it_in_five_lines(bench: Bench) -> None:
    source = begin(bench)
    with subprocess.Popen(
        [sys.executable, "-c", PYTHON, str(source.path)], stdout=subprocess.PIPE, text=True
    ) as process:
        bench.turn(lambda: process.poll() is not None)
        assert process.stdout is not None
        assert json.loads(process.stdout.read()) == {"ok": True}
    assert bench.intake.payloads == [b'{"celsius":21.5}']
