"""What the status says of a connection that ends, or does not begin."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet_agent.errors import AgentError, UnreachableError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.session import connectivity, reasons
from fleet_agent.session.connectivity import CALM, Connectivity
from fleet_agent.session.events import CallbackFailed, Connected, ConnectFailed, Disconnected
from fleet_agent.session.message import Limits, Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from support.clock import FakeClock

MAYBE_CLONED = table.MAYBE_CLONED.code
OFFLINE = table.OFFLINE.code
UNSTABLE = table.UNSTABLE.code

WILL = Outgoing(topic="presence/pump", payload=b"down", retain=True)


class Line(Session):
    """Counts looks for a cause, and reconnects."""

    def __init__(self) -> None:
        self.looks = self.reconnects = 0
        self.route = cast("Any", SimpleNamespace(host="broker"))
        self.client_id = "pump"
        self.upkeep = Upkeep(will=WILL)

    def explain(self, _session: Session, failure: ConnectFailed, _now: float) -> AgentError:
        self.looks += 1
        code = failure.reason_code
        return UnreachableError(f"No connection: {code}.", remedy="Wait.", code="connect-failed")

    def reconnect(self) -> None:
        self.reconnects += 1


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.health = Health(folder, self.clock)
        self.line = Line()
        self.calmed = 0
        self.connectivity = Connectivity(
            self.line, self.clock, self.health, self._calmed, self.line.explain
        )

    def _calmed(self) -> None:
        self.calmed += 1

    def end(self, code: int | None = None, error: str = "X: x", words: str = "") -> None:
        """Connect, and have it end."""
        self.connectivity.connected(Connected(session=self.line, rejoined=True))
        self.clock.go(2)
        self.connectivity.ended(
            Disconnected(session=self.line, reason_code=code, error=error, reason_string=words)
        )

    @property
    def problems(self) -> dict[str, str]:
        return {item.kind.code: item.title for item in self.health.problems}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("code", [151, 144, 149, reasons.UNKNOWN])
def test_to_be_thrown_out_again_and_again_is_a_problem_until_it_is_calm(
    bench: Bench, code: int
) -> None:
    for _ in range(2):
        bench.end(code)
    assert UNSTABLE not in bench.problems
    bench.end(code, words="too\nmuch \x1b[31m")
    title = bench.problems[UNSTABLE]
    assert "3 times since 2027-01-15T08:00:02Z" in title
    assert reasons.words(reasons.Packet.DISCONNECT, code) in title
    assert "too\\nmuch \\u001b[31m" in title
    bench.connectivity.connected(Connected(session=bench.line, rejoined=True))
    assert bench.connectivity.due == bench.clock.monotonic() + CALM
    bench.connectivity.act()
    assert (bench.problems, bench.calmed) == ({}, 1)


def test_connections_that_end_without_a_word_count_too(bench: Bench) -> None:
    for _ in range(connectivity.OFTEN):
        bench.end(error="AWS_ERROR_MQTT_UNEXPECTED_HANGUP: x")
    assert "without a reason" in bench.problems[UNSTABLE]


def test_ends_that_are_hours_apart_or_our_own_are_no_problem(bench: Bench) -> None:
    for _ in range(5):
        bench.end(151)
        bench.clock.go(connectivity.WINDOW / 2)
        bench.end(error="AWS_ERROR_MQTT5_USER_REQUESTED_STOP: x")
    assert bench.problems == {}


def test_another_client_of_the_same_name_is_forgotten_when_it_does_not_come_again(
    bench: Bench,
) -> None:
    bench.end(142)
    assert "Another client connected as pump." in bench.problems[MAYBE_CLONED]
    bench.connectivity.connected(Connected(session=bench.line, rejoined=True))
    assert MAYBE_CLONED in bench.problems
    bench.connectivity.act()
    assert bench.problems == {}


def test_the_cause_of_a_failed_connect_is_looked_for_when_it_changes(bench: Bench) -> None:
    def fail(code: int | None) -> None:
        bench.connectivity.failed(ConnectFailed(session=bench.line, reason_code=code, error="x"))

    for code in (None, None, 136, 136, 135):
        fail(code)
    assert (bench.line.looks, bench.problems[OFFLINE]) == (3, "No connection: 135.")
    bench.clock.go(connectivity.DIAGNOSE_AGAIN)
    fail(135)
    assert bench.line.looks == 4
    bench.connectivity.connected(Connected(session=bench.line, rejoined=False))
    assert bench.problems == {}


def test_what_the_server_takes_less_of_is_said(bench: Bench) -> None:
    limits = Limits(qos=0, can_retain=False, expiry=60)
    bench.connectivity.connected(Connected(session=bench.line, rejoined=False, limits=limits))
    for words in ("retained", "60 s", "3600 s"):
        assert words in bench.problems["server-limits"]
    assert "QoS 1" in bench.problems["qos-missing"]
    bench.connectivity.connected(Connected(session=bench.line, rejoined=False))
    assert bench.problems == {}


def test_a_callback_that_failed_has_the_session_connect_again(bench: Bench) -> None:
    event = CallbackFailed(session=bench.line, name="on_publish", error=ValueError("what"))
    bench.connectivity.callback_failed(event)
    assert bench.line.reconnects == 1
