"""AWS IoT Commands: each execution once, its answers in AWS's limits and in turn."""

import json
import logging
import math
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.handlers import FileHandler, Handler, SocketHandler
from fleet_agent.config.orders import Commands as Settings
from fleet_agent.orders import commands
from fleet_agent.orders.commands import Commands, answer
from fleet_agent.orders.order import COMMAND
from fleet_agent.orders.outcome import Outcome, failure
from fleet_agent.orders.router import Receipt
from fleet_agent.session.message import Outgoing
from unit.orders.conftest import Arriving, Bench, Program
from unit.orders.device import running

BASE = "$aws/commands/things/pump-7/executions"


class Device:
    """A device that takes commands, and what AWS hears of it."""

    def __init__(self, bench: Bench, settings: Settings, **handlers: Handler) -> None:
        self.bench = bench
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.acknowledged: list[str] = []
        self._settings = settings
        bench.handlers = handlers
        bench.listen()
        self.live()

    def live(self) -> None:
        bench = self.bench
        self.commands = Commands(
            self._settings, "pump-7", bench.registry.named, self._publish, bench.clock
        )
        bench.shared.reporters[COMMAND] = self.commands
        if bench.registry.due <= bench.clock.monotonic():
            bench.registry.act()
        self.commands.connected()

    def restart(self) -> None:
        """Killed, and there again."""
        self.bench.die()
        self.live()

    def request(
        self, identifier: str, payload: object, path: str = "request/json", **more: Any
    ) -> Receipt:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self.commands.take(
            Arriving(
                topic=f"{BASE}/{identifier}/{path}",
                payload=data,
                response_topic=None,
                acknowledge=lambda: self.acknowledged.append(identifier),
                **more,
            )
        )

    def answered(self, identifier: str, error: str | None = None, **more: str) -> None:
        """AWS takes the last answer, or refuses it."""
        how = "rejected" if error else "accepted"
        values = {"executionId": identifier} | ({"error": error} if error else {}) | more
        topic = f"{BASE}/{identifier}/response/{how}/json"
        self.commands.take(Arriving(topic=topic, payload=json.dumps(values).encode()))

    def hears(self, count: int = 1) -> list[tuple[str, dict[str, Any]]]:
        """Waits for so many answers, and takes them."""

        def is_there() -> bool:
            if self.commands.due <= self.bench.clock.monotonic():
                self.commands.act()
            return len(self.said) >= count

        self.bench.turn(is_there)
        found, self.said[:] = list(self.said), []
        return found

    def _publish(self, message: Outgoing) -> None:
        found = re.fullmatch(rf"{re.escape(BASE)}/([\w-]+)/response/json", message.topic)
        assert found
        assert message.content_type == "application/json"
        self.said.append((found[1], json.loads(message.payload)))


SETTINGS = Settings(enabled=True, operations={"lock": "lock", "slow": "slow"})


@pytest.fixture
def device(bench: Bench, tmp_path: Path) -> Device:
    log = tmp_path / "log"
    return Device(
        bench,
        SETTINGS,
        lock=running("sh", "-c", f'echo "$@" >>{log}; cat >>{log}; echo locked', "lock"),
        slow=running(
            "sh", "-c", f"echo x >>{log}; while ! test -e {tmp_path}/go; do sleep 0.05; done"
        ),
    )


def test_a_command_is_carried_out_and_answered_until_aws_has_it(
    device: Device, tmp_path: Path
) -> None:
    assert (
        device.request("e-1", {"operation": "lock", "arguments": ["front", "$(id)"]})
        is Receipt.TAKEN
    )
    assert device.acknowledged == ["e-1"]
    assert device.hears() == [
        (
            "e-1",
            {
                "status": "SUCCEEDED",
                "statusReason": {"reasonCode": "EXIT_0"},
                "result": {"exit": {"s": "0"}, "stdout": {"s": "locked"}},
            },
        )
    ]
    assert list((tmp_path / "orders").rglob("*.ended.json"))
    device.answered("e-1")
    assert not list((tmp_path / "orders").rglob("*.json"))
    assert (tmp_path / "log").read_text().startswith("front $(id)\n{")
    # It comes again, late.
    assert device.request("e-1", {"operation": "lock"}) is Receipt.TAKEN
    device.restart()
    assert device.request("e-1", {"operation": "lock"}) is Receipt.TAKEN
    assert device.said == []
    assert (tmp_path / "log").read_text().count("front") == 2  # an argument, and stdin


def test_what_takes_a_while_is_in_progress_first_and_the_end_waits_for_that(
    device: Device, tmp_path: Path
) -> None:
    device.request("e-1", {"operation": "slow"})
    device.bench.clock.go(commands.SOON)
    assert device.hears() == [("e-1", {"status": "IN_PROGRESS"})]
    (tmp_path / "go").touch()
    device.bench.turn(lambda: device.bench.registry.counters["slow"].handled)
    assert device.said == []
    device.answered("e-1")
    (said,) = device.hears()
    assert said[1]["status"] == "SUCCEEDED"
    device.answered("e-1", "DataConflict")
    device.bench.clock.go(2)
    (again,) = device.hears()
    assert again == said
    device.answered("e-1")
    assert device.commands.due == float("inf")


def test_what_no_operation_has_is_rejected_in_words_and_acknowledged_when_aws_knows(
    device: Device,
) -> None:
    assert device.request("e-1", {"operation": "explode"}) is Receipt.HELD
    ((_, values),) = device.hears()
    assert values == {
        "status": "REJECTED",
        "statusReason": {
            "reasonCode": "NOT-UNDERSTOOD",
            "reasonDescription": 'the command "explode" is not in commands.operations',
        },
    }
    assert device.acknowledged == []
    device.answered("e-1")
    assert device.acknowledged == ["e-1"]


def test_refused_commands_that_aws_never_answers_do_not_keep_other_messages_away(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"e-{number}" for number in range(commands.REFUSED_KEPT + 3)]
    for name in names:
        assert device.request(name, {"operation": "explode"}) is Receipt.HELD
    assert [name for name, _ in device.said] == names
    # The oldest are given up, so that fewer wait than the server may send without hearing of one.
    assert device.acknowledged == names[:3]
    assert caplog.text.count("did not accept the outcome of the command") == 3
    device.answered(names[-1])
    assert device.acknowledged == [*names[:3], names[-1]]


UNNAMED = "its payload has no member `operation` that is a string"
NOT_JSON = "its payload is not of type application/json, so it has no member `operation`"


@pytest.mark.parametrize(
    ("payload", "path", "words"),
    [
        ({}, "request/json", UNNAMED),
        ({"operation": ["a"]}, "request/json", UNNAMED),
        ([1], "request/json", "its payload is not a JSON object"),
        (b"\xff", "request/json", "its payload is not a JSON object"),
        (b"\xa0", "request/cbor", NOT_JSON),
        (b"x", "request", NOT_JSON),
    ],
)  # fmt: skip
def test_a_command_that_names_no_operation_is_told_what_it_lacks(
    device: Device, payload: object, path: str, words: str
) -> None:
    """It was the command "None", which nobody had sent."""
    device.request("e-1", payload, path)
    ((_, values),) = device.hears()
    assert values["statusReason"]["reasonDescription"] == words


@pytest.mark.parametrize("given", [[None], [["a"]], ["a\0"], ["\ud800"], {}, None])
def test_what_no_program_can_be_given_is_rejected_and_not_left_out(
    device: Device, given: object, tmp_path: Path
) -> None:
    device.request("e-1", {"operation": "lock", "arguments": given})
    ((_, values),) = device.hears()
    assert values["statusReason"]["reasonDescription"] == (
        "its arguments are not a list of strings that a program can take"
    )
    assert not (tmp_path / "log").exists()


def test_numbers_and_one_text_are_arguments_too(device: Device, tmp_path: Path) -> None:
    for number, given in enumerate(([1, True, 2.5, ""], "front door", [])):
        device.request(f"e-{number}", {"operation": "lock", "arguments": given})
        device.hears()
    lines = (tmp_path / "log").read_text().replace("}", "}\n").splitlines()
    assert lines[::2] == ["1 true 2.5 ", "front door", ""]


@pytest.mark.parametrize(
    ("path", "payload", "type_"),
    [
        ("request", b"\x00\xff", None),
        ("request/cbor", b"\xa1ahbhi", "application/cbor"),
        ("request/json", b"[1]", "application/json"),
    ],
)
def test_any_payload_goes_to_the_handler_of_the_rest_as_it_is(
    bench: Bench, tmp_path: Path, path: str, payload: bytes, type_: str | None
) -> None:
    out = tmp_path / "out"
    handler = running("sh", "-c", f'cat >{out}; echo "$FLEET_AGENT_CONTENT_TYPE"')
    device = Device(bench, Settings(enabled=True, handler="any"), any=handler)
    device.request("e-1", payload, path)
    ((_, values),) = device.hears()
    assert values["status"] == "SUCCEEDED"
    assert values["result"].get("stdout", {}).get("s") == type_
    assert out.read_bytes() == payload


def test_an_outcome_that_aws_did_not_hear_survives_the_agent(
    device: Device, tmp_path: Path
) -> None:
    device.request("e-1", {"operation": "lock"})
    said = device.hears()
    device.restart()
    assert device.hears() == said
    device.answered("e-1")
    assert not list((tmp_path / "orders").rglob("*.json"))
    assert (tmp_path / "log").read_text().count("operation") == 1


def test_one_whose_time_is_over_before_its_turn_is_not_begun(
    device: Device, tmp_path: Path
) -> None:
    device.request("e-1", {"operation": "slow"})
    device.request("e-2", {"operation": "slow"}, expiry=0)
    (tmp_path / "go").touch()
    device.bench.turn(lambda: device.bench.registry.counters["slow"].failed)
    assert (tmp_path / "log").read_text() == "x\n"
    ended = dict(device.hears(2))
    assert ended["e-2"] == {
        "status": "TIMED_OUT",
        "statusReason": {
            "reasonCode": "TIMEOUT",
            "reasonDescription": "its time limit was over before its turn came",
        },
    }


@pytest.mark.parametrize(
    "error", ["TerminalStateReached", "ResourceNotFound", "InvalidRequest", "?"]
)
def test_what_aws_will_never_take_is_not_said_again(device: Device, error: str) -> None:
    device.request("e-1", {"operation": "lock"})
    device.hears()
    device.answered("e-1", error)
    assert device.commands.due == float("inf")
    device.commands.connected()
    assert device.said == []


def test_what_was_held_or_refused_when_the_connection_ended_comes_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SOON", 600.0)
    log = tmp_path / "log"
    handler = running(
        "sh",
        "-c",
        f"cat >>{log}; while ! test -e {tmp_path}/go; do sleep 0.05; done",
        max_waiting=0,
    )
    device = Device(bench, Settings(enabled=True, operations={"a": "a"}), a=handler)
    assert device.request("e-1", {"operation": "a", "n": 1}) is Receipt.TAKEN
    assert device.request("e-2", {"operation": "a", "n": 2}) is Receipt.HELD
    assert device.request("e-3", {"operation": "b"}) is Receipt.HELD
    device.commands.disconnected()
    bench.registry.disconnected()
    device.said.clear()
    device.commands.connected()
    for number, operation in enumerate("aab", 1):
        device.request(f"e-{number}", {"operation": operation, "n": number})
    (tmp_path / "go").touch()
    heard = {name: values["status"] for name, values in device.hears(3)}
    assert heard == {"e-1": "SUCCEEDED", "e-2": "SUCCEEDED", "e-3": "REJECTED"}
    assert [
        json.loads(each)["n"] for each in log.read_text().replace("}", "}\n").split("\n")[:2]
    ] == [1, 2]


# What AWS does not answer, or not as one would wish -------------------------------------------------------------------


@pytest.fixture
def asking(bench: Bench, program: Program, tmp_path: Path) -> Device:
    """Without processes: ``write`` ends at once, ``ask`` when the program says so; one waits, and others are held."""
    asks = Handler(socket=SocketHandler(path=str(program.path), max_waiting=1))
    writes = Handler(file=FileHandler(path=str(tmp_path / "written"), max_size=200))
    settings = Settings(enabled=True, operations={"ask": "ask", "write": "write"})
    return Device(bench, settings, ask=asks, write=writes)


ASK, WRITE = {"operation": "ask"}, {"operation": "write"}
IN_PROGRESS = {"status": "IN_PROGRESS"}


def due_in(device: Device) -> float:
    return round(device.commands.due - device.bench.clock.monotonic(), 1)


def later(device: Device, seconds: float) -> list[tuple[str, str]]:
    """What AWS hears when so much time has passed: which command, and its status."""
    device.bench.clock.go(seconds)
    device.commands.act()
    return heard(device)


def heard(device: Device) -> list[tuple[str, str]]:
    found = [(identifier, values["status"]) for identifier, values in device.said]
    device.said.clear()
    return found


def ends(device: Device, connection: socket.socket) -> None:
    """The program answers, and goes."""
    device.bench.turn_once()
    connection.send(b"{}")
    connection.close()
    device.bench.turn_once()


def test_an_end_that_is_not_answered_is_said_again_slower_and_slower_and_then_given_up(
    asking: Device, tmp_path: Path
) -> None:
    end = [("e-1", "SUCCEEDED")]
    asking.request("e-1", WRITE)
    assert heard(asking) == end
    for number in range(commands.TRIES):
        patience = 10 * 2**number
        assert due_in(asking) == patience
        assert later(asking, patience - 1) == []
        assert list((tmp_path / "orders").rglob("*.ended.json"))
        assert later(asking, 1.1) == (end if number + 1 < commands.TRIES else [])
    assert asking.commands.due == math.inf
    assert not list((tmp_path / "orders").rglob("*.json"))


@pytest.mark.parametrize("code", ["DataConflict", "InternalError", "RequestThrottled"])
def test_what_aws_refuses_for_a_moment_is_said_again_after_a_while(
    asking: Device, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    asking.request("e-1", WRITE)
    for pause in (2, 4, 8, 16, 32, 60, 60):
        assert heard(asking) == [("e-1", "SUCCEEDED")]
        asking.answered("e-1", code, errorMessage="not\nnow")
        assert due_in(asking) == pause
        asking.answered("e-1", "ResourceNotFound")  # no answer to anything
        asking.bench.clock.go(pause + 0.1)
        asking.commands.act()
    assert f"the answer to the command e-1: {code}: not\\nnow" in caplog.text
    asking.answered("e-1", code)
    assert caplog.messages[-1].endswith(f"{code}: ")


def test_what_aws_takes_is_no_warning(asking: Device, caplog: pytest.LogCaptureFixture) -> None:
    asking.request("e-1", WRITE)
    asking.answered("e-1")
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert asking.commands.due == math.inf


@pytest.mark.parametrize("answer", [None, "TerminalStateReached"])
def test_an_end_does_not_wait_for_what_aws_makes_of_being_in_progress(
    asking: Device, program: Program, answer: str | None
) -> None:
    asking.request("e-1", ASK)
    connection, _ = program.accept()
    assert later(asking, commands.SOON - 0.5) == []
    assert later(asking, 0.6) == [("e-1", "IN_PROGRESS")]
    if answer:
        asking.answered("e-1", answer)
    else:
        assert due_in(asking) == commands.LIMIT
        assert later(asking, commands.LIMIT + 0.1) == []
    assert asking.commands.due == math.inf
    ends(asking, connection)
    assert heard(asking) == [("e-1", "SUCCEEDED")]
    asking.answered("e-1")
    asking.commands.disconnected()
    asking.commands.connected()
    assert heard(asking) == []


def test_that_it_is_in_progress_is_said_again_when_aws_had_no_time(
    asking: Device, program: Program
) -> None:
    asking.request("e-1", ASK)
    connection, _ = program.accept()
    assert later(asking, 1.1) == [("e-1", "IN_PROGRESS")]
    asking.answered("e-1", "RequestThrottled")
    assert later(asking, 1.1) == [("e-1", "IN_PROGRESS")]
    asking.answered("e-1")
    assert asking.commands.due == math.inf, "once"
    assert later(asking, 3600) == []
    ends(asking, connection)
    assert heard(asking) == [("e-1", "SUCCEEDED")]


def test_without_a_connection_nothing_is_said_and_with_the_next_one_all_of_it(
    asking: Device, program: Program
) -> None:
    asking.request("e-1", WRITE)
    asking.request("e-2", ASK)
    connection, _ = program.accept()
    heard(asking)
    asking.commands.disconnected()
    assert asking.commands.due == math.inf
    asking.commands.connected()
    assert heard(asking) == [("e-1", "SUCCEEDED")]
    assert due_in(asking) == commands.SOON
    assert later(asking, 1.1) == [("e-2", "IN_PROGRESS")]
    asking.commands.disconnected()
    ends(asking, connection)
    assert heard(asking) == []
    asking.commands.connected()
    assert sorted(heard(asking)) == [("e-1", "SUCCEEDED"), ("e-2", "SUCCEEDED")]


def test_an_outcome_from_before_outlives_the_connection_too(asking: Device) -> None:
    asking.request("e-1", WRITE)
    asking.restart()
    asking.commands.disconnected()
    heard(asking)
    asking.commands.connected()
    assert heard(asking) == [("e-1", "SUCCEEDED")]


def test_one_that_comes_again_is_acknowledged_when_it_is_safe(
    asking: Device, program: Program
) -> None:
    refused = {"operation": "explode"}
    for identifier, payload in (("e-1", ASK), ("e-2", ASK), ("e-3", ASK), ("e-4", refused)):
        asking.request(identifier, payload)
    assert asking.acknowledged == ["e-1", "e-2"]
    assert [asking.request(f"e-{number}", ASK) for number in (1, 2, 3, 4)] == [
        Receipt.TAKEN,
        Receipt.TAKEN,
        Receipt.HELD,
        Receipt.HELD,
    ]
    assert asking.acknowledged[2:] == ["e-1", "e-2"]
    asking.answered("e-4")
    assert asking.acknowledged[4:] == ["e-4"] * 2
    for _ in range(3):
        connection, _ = program.accept()
        ends(asking, connection)
    assert asking.acknowledged[6:] == ["e-3"] * 2
    assert asking.bench.counters("ask").handled == 3


def test_what_was_not_safe_when_the_connection_ended_is_a_new_one_and_what_was_is_not(
    asking: Device, program: Program
) -> None:
    for number in (1, 2, 3):
        asking.request(f"e-{number}", ASK)
    assert asking.request("e-4", {"operation": "explode"}) is Receipt.HELD
    asking.commands.disconnected()
    asking.bench.registry.disconnected()
    heard(asking)
    asking.commands.connected()
    # Of the one that is held, and of the one that is refused, this process knows no more.
    assert later(asking, 1.1) == [("e-1", "IN_PROGRESS"), ("e-2", "IN_PROGRESS")]
    assert asking.request("e-4", WRITE) is Receipt.TAKEN
    assert heard(asking) == [("e-4", "SUCCEEDED")]
    program.accept()[0].close()


def test_one_that_is_over_is_acknowledged_and_no_word_is_said_of_it(asking: Device) -> None:
    asking.request("e-1", WRITE)
    asking.answered("e-1")
    heard(asking)
    assert asking.request("e-1", WRITE) is Receipt.TAKEN
    assert asking.acknowledged == ["e-1"] * 2
    assert asking.commands.due == math.inf
    assert asking.bench.counters("write").duplicates == 0


def test_a_retained_request_is_an_old_one(asking: Device) -> None:
    assert asking.request("e-1", WRITE, retain=True) is Receipt.TAKEN
    assert (asking.acknowledged, asking.said, asking.commands.due) == (["e-1"], [], math.inf)


def test_one_that_does_not_come_again_is_not_held(asking: Device) -> None:
    for number in (1, 2):
        asking.request(f"e-{number}", ASK)
    assert asking.request("e-3", ASK, qos=0) is Receipt.TAKEN
    ((identifier, values),) = asking.said
    assert (identifier, values["statusReason"]["reasonCode"]) == ("e-3", "BUSY")


def test_a_local_program_learns_what_there_is_to_know(asking: Device, program: Program) -> None:
    asking.request("e-1", {**ASK, "arguments": ["a", 7]})
    connection, packet = program.accept()
    connection.close()
    payload = packet.pop("payload")
    assert json.loads(payload) == {"operation": "ask", "arguments": ["a", 7]}
    assert packet == {
        "handler": "ask",
        "topic": f"{BASE}/e-1/request/json",
        "content_type": "application/json",
        "id": "command:e-1",
        "arguments": ["a", "7"],
    }


@pytest.mark.parametrize("path", ["request", "request/cbor"])
def test_what_is_no_json_has_no_operation_whatever_it_looks_like(
    asking: Device, path: str
) -> None:
    asking.request("e-1", WRITE, path)
    assert heard(asking) == [("e-1", "REJECTED")]


def test_what_a_handler_refuses_is_rejected(asking: Device) -> None:
    assert asking.request("e-1", {**WRITE, "arguments": "x" * 200}) is Receipt.TAKEN
    assert heard(asking) == [("e-1", "REJECTED")]
    assert asking.acknowledged == ["e-1"]


def test_a_foreign_topic_is_none_of_ours_and_an_id_cannot_lead_elsewhere(device: Device) -> None:
    assert device.commands.take(Arriving(topic="cmd/pump-7/x")) is Receipt.NOT_OURS
    assert device.request("a b", {"operation": "lock"}) is Receipt.TAKEN
    assert device.request("e-1", {"operation": "lock"}, "request/xml") is Receipt.TAKEN
    assert device.said == []


def text(values: Any) -> Callable[[str], str]:
    return lambda name: values["result"][name]["s"]


def test_answers_are_within_what_aws_takes() -> None:
    values: Any = answer(
        Outcome(
            status=3, reason="é\n\x1b[31m" * 2000, stdout=b"\x00" + b"x\n" * 5000, stderr=b"\t\n"
        )
    )
    assert values["status"] == "FAILED"
    assert values["statusReason"]["reasonCode"] == "EXIT_3"
    description = values["statusReason"]["reasonDescription"]
    assert len(description) == 1024
    assert description.isprintable()
    assert len(text(values)("stdout")) <= 2048
    assert "stderr" not in values["result"]
    assert answer(Outcome(packet=b'{"status": 0, "door": "open"}')) == {
        "status": "SUCCEEDED",
        "statusReason": {"reasonCode": "EXIT_0"},
        "result": {"answer": {"s": '{"status": 0, "door": "open"}'}},
    }
    code: Any = answer(failure("too-large", "x"))
    assert code["status"] == "REJECTED"
    assert re.fullmatch("[A-Z0-9_-]{1,64}", code["statusReason"]["reasonCode"])
    code = answer(failure("é. x" * 40, ""))
    assert code["statusReason"] == {"reasonCode": "___X" * 16}
    values = answer(Outcome(stdout=b" a\n\x1b[b\xff ", stderr=b"\t"))
    assert values["result"] == {"exit": {"s": "0"}, "stdout": {"s": "a\n [b\ufffd"}}
    values = answer(Outcome(status=1, stderr=b"why"))
    assert values["result"] == {"exit": {"s": "1"}, "stderr": {"s": "why"}}
