"""AWS IoT Commands: each execution once, its answers in AWS's limits and in turn."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.handlers import Handler
from fleet_agent.config.orders import Commands as Settings
from fleet_agent.orders import commands
from fleet_agent.orders.commands import Commands, answer
from fleet_agent.orders.order import COMMAND
from fleet_agent.orders.outcome import Outcome, failure
from fleet_agent.orders.router import Receipt
from fleet_agent.session.message import Outgoing
from unit.orders.conftest import Arriving, Bench
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
            self._settings, "pump-7", bench.roster.named, self._publish, bench.clock
        )
        bench.shared.reporters[COMMAND] = self.commands
        if bench.roster.due <= bench.clock.monotonic():
            bench.roster.act()
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

    def answered(self, identifier: str, error: str | None = None) -> None:
        """AWS takes the last answer, or refuses it."""
        how = "rejected" if error else "accepted"
        values = {"executionId": identifier} | ({"error": error} if error else {})
        topic = f"{BASE}/{identifier}/response/{how}/json"
        self.commands.take(Arriving(topic=topic, payload=json.dumps(values).encode()))

    def hears(self, count: int = 1) -> list[tuple[str, dict[str, Any]]]:
        """Wait for so many answers, and take them."""

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
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SOON", 0.05)
    device.request("e-1", {"operation": "slow"})
    assert device.hears() == [("e-1", {"status": "IN_PROGRESS"})]
    (tmp_path / "go").touch()
    device.bench.turn(lambda: device.bench.roster.counters["slow"].handled)
    assert device.said == []
    device.answered("e-1")
    (said,) = device.hears()
    assert said[1]["status"] == "SUCCEEDED"
    device.answered("e-1", "DataConflict")
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


@pytest.mark.parametrize("given", [[None], [["a"]], ["a\0"], ["\ud800"], {}, None])
def test_what_no_program_can_be_given_is_rejected_and_not_left_out(
    device: Device, given: object, tmp_path: Path
) -> None:
    device.request("e-1", {"operation": "lock", "arguments": given})
    ((_, values),) = device.hears()
    assert values["statusReason"]["reasonDescription"] == (
        "its arguments are no list of texts that a program can take"
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
    device.bench.turn(lambda: device.bench.roster.counters["slow"].failed)
    assert (tmp_path / "log").read_text() == "x\n"
    ended = dict(device.hears(2))
    assert ended["e-2"] == {
        "status": "TIMED_OUT",
        "statusReason": {
            "reasonCode": "TIMEOUT",
            "reasonDescription": "its time was over before its turn came",
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
    bench.roster.disconnected()
    device.said.clear()
    device.commands.connected()
    for number, operation in enumerate("aab", 1):
        device.request(f"e-{number}", {"operation": operation, "n": number})
    (tmp_path / "go").touch()
    heard = {name: values["status"] for name, values in device.hears(3)}
    assert heard == {"e-1": "SUCCEEDED", "e-2": "SUCCEEDED", "e-3": "REJECTED"}
    assert [
        json.loads(one)["n"] for one in log.read_text().replace("}", "}\n").split("\n")[:2]
    ] == [1, 2]


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
