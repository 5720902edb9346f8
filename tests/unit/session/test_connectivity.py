"""What the status says of a connection that ends, or does not begin."""

import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet_agent.errors import AgentError, UnreachableError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.process import log
from fleet_agent.session import connectivity, reasons
from fleet_agent.session.backoff import DIAGNOSE_AGAIN
from fleet_agent.session.connectivity import CALM, Connectivity
from fleet_agent.session.events import (
    CallbackFailed,
    Cause,
    Connected,
    ConnectFailed,
    Disconnected,
)
from fleet_agent.session.message import Limits, Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import Route
from support.certificates import YESTERDAY, loaded, make_pair
from support.clock import FakeClock
from support.tls import tls_server

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

    def explain(self, session: Session, failure: ConnectFailed, now: float) -> AgentError:
        assert session is self
        self.looks += 1
        title = f"No connection: {failure.reason_code}, at {now:.0f}."
        return UnreachableError(title, remedy="Wait.", code="connect-failed")

    def reconnect(self) -> None:
        self.reconnects += 1


class Watch:
    """Hears of it, too."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def connected(self) -> None:
        self.heard.append("connected")

    def failed(self, event: ConnectFailed, error: AgentError) -> None:
        self.heard.append((event, error.title))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.health = Health(folder, self.clock)
        self.status = folder / "status.json"
        self.line = Line()
        self.on_stable = 0
        self.watch = Watch()
        self.connectivity = Connectivity(
            self.line, self.clock, self.health, self._on_stable, self.line.explain, self.watch
        )

    def _on_stable(self) -> None:
        self.on_stable += 1

    def end(self, code: int | None = None, words: str = "", cause: Cause = Cause.OTHER) -> None:
        """Connects, and has it end."""
        self.connectivity.connected(Connected(session=self.line, rejoined=True))
        self.clock.go(2)
        self.connectivity.ended(
            Disconnected(
                session=self.line,
                reason_code=code,
                error="X: x",
                reason_string=words,
                cause=cause,
            )
        )

    @property
    def problems(self) -> dict[str, str]:
        return {item.kind.code: item.title for item in self.health.problems}

    def remedy(self, code: str) -> str:
        (found,) = (item.remedy for item in self.health.problems if item.kind.code == code)
        return found

    def doing(self) -> object:
        return self.shown["doing"]

    @property
    def shown(self) -> dict[str, object]:
        return dict(json.loads(self.status.read_text()))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_since_when_it_stands_and_whether_it_does(bench: Bench) -> None:
    found = bench.connectivity
    assert (found.is_connected, found.connected_at, found.due) == (False, 0.0, math.inf)
    found.connected(Connected(session=bench.line, rejoined=True))
    assert (found.is_connected, found.connected_at) == (True, bench.clock.monotonic())
    assert (bench.doing(), bench.shown["connected"]) == ("connected as pump", True)
    found.act()
    assert found.due == math.inf
    found.connected(Connected(session=bench.line, rejoined=True))
    found.ended(Disconnected(session=bench.line, reason_code=None, error="x"))
    assert (found.is_connected, found.due) == (False, math.inf)
    assert (bench.doing(), bench.shown["connected"]) == ("reconnecting", False)


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
    found = reasons.reason(reasons.Packet.DISCONNECT, code)
    words = reasons.words(reasons.Packet.DISCONNECT, code)
    assert title.endswith(f'last by {words} ("too\\nmuch \\u001b[31m"): {found.cause}.')
    assert bench.remedy(UNSTABLE) == found.remedy
    bench.end(code)
    assert bench.problems[UNSTABLE].endswith(f"last by {words}: {found.cause}.")
    bench.connectivity.connected(Connected(session=bench.line, rejoined=True))
    assert bench.connectivity.due == bench.clock.monotonic() + CALM
    bench.connectivity.act()
    assert (bench.problems, bench.on_stable) == ({}, 1)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause.HANG_UP, "the server, which closed it without a reason"),
        (Cause.LATE, "a timeout: the server did not answer a ping"),
        (Cause.CLOSED, "X: x"),
        (Cause.OTHER, "X: x"),
    ],
)
def test_connections_that_end_without_a_word_count_too(
    bench: Bench, cause: Cause, words: str
) -> None:
    for _ in range(connectivity.OFTEN):
        bench.end(cause=cause)
    assert bench.problems[UNSTABLE].endswith(f"last by {words}.")
    assert bench.remedy(UNSTABLE) == table.UNSTABLE.remedy


def test_the_third_within_an_hour_is_one_too_many_and_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(connectivity.OFTEN):
        bench.end(151)
        bench.clock.go(connectivity.WINDOW / 2 - 2)
    assert list(bench.problems) == [UNSTABLE]
    (line,) = caplog.records
    assert bench.problems[UNSTABLE] in line.getMessage()
    assert bench.remedy(UNSTABLE) in line.getMessage()
    assert vars(line)["journal"] == {
        "MESSAGE_ID": log.Moment.PROBLEM.value,
        "FLEET_AGENT_PROBLEM": UNSTABLE,
    }


def test_ends_that_are_hours_apart_or_our_own_are_no_problem(bench: Bench) -> None:
    for _ in range(5):
        bench.end(151)
        bench.clock.go(connectivity.WINDOW / 2)
        bench.end(cause=Cause.OURS)
    assert bench.problems == {}


def test_another_client_of_the_same_name_is_forgotten_when_it_does_not_come_again(
    bench: Bench,
) -> None:
    bench.end(142)
    assert "Another client connected as pump." in bench.problems[MAYBE_CLONED]
    assert "Two devices with one identity?" in bench.remedy(MAYBE_CLONED)
    bench.connectivity.connected(Connected(session=bench.line, rejoined=True))
    assert MAYBE_CLONED in bench.problems
    bench.connectivity.act()
    assert bench.problems == {}


def test_the_cause_of_a_failed_connect_is_looked_for_when_it_changes(bench: Bench) -> None:
    def fail(code: int | None) -> None:
        bench.connectivity.failed(ConnectFailed(session=bench.line, reason_code=code, error="x"))

    for code in (None, None, 136, 136, 135):
        fail(code)
    assert bench.line.looks == 3
    assert bench.problems[OFFLINE] == f"No connection: 135, at {bench.clock.wall():.0f}."
    assert (bench.remedy(OFFLINE), bench.doing()) == ("Wait.", "waiting to connect")
    bench.clock.go(DIAGNOSE_AGAIN)
    fail(135)
    assert bench.line.looks == 4
    bench.connectivity.connected(Connected(session=bench.line, rejoined=False))
    assert bench.problems == {}
    fail(135)
    assert bench.line.looks == 5


def test_whoever_wants_to_know_hears_of_every_try_and_its_cause(bench: Bench) -> None:
    failure = ConnectFailed(session=bench.line, reason_code=135, error="x")
    began = bench.clock.wall()
    bench.connectivity.failed(failure)
    bench.clock.go(1)
    bench.connectivity.failed(failure)
    bench.connectivity.connected(Connected(session=bench.line, rejoined=False))
    # The second is the same failure: it was not looked into again.
    again = (failure, f"No connection: 135, at {began:.0f}.")
    assert bench.watch.heard == [again, again, "connected"]


def test_without_more_the_cause_is_what_the_diagnosis_says(bench: Bench) -> None:
    bench.line.is_thing = True
    alone = Connectivity(bench.line, bench.clock, bench.health, bench._on_stable)
    alone.failed(ConnectFailed(session=bench.line, reason_code=135, error="x"))
    assert "does not allow iot:Connect on client/pump" in bench.problems[OFFLINE]
    alone.connected(Connected(session=bench.line, rejoined=False))
    assert bench.problems == {}


def test_a_server_whose_certificate_is_out_of_date_may_be_our_clocks_doing(
    bench: Bench, tmp_path: Path
) -> None:
    server = make_pair(tmp_path / "server", valid_to=YESTERDAY, name="localhost")
    alone = Connectivity(bench.line, bench.clock, bench.health, bench._on_stable)
    bench.line.pair = loaded(server)
    with tls_server(server) as port:
        ca_file = str(server.certificate)
        bench.line.route = Route(host="localhost", port=port, ca_file=ca_file, proxy=None)
        alone.failed(ConnectFailed(session=bench.line, reason_code=None, error="x"))
    assert (
        "looks expired: this device's clock says 2027-01-15T08:00:00Z" in bench.problems[OFFLINE]
    )


def test_what_the_server_takes_less_of_is_said(bench: Bench) -> None:
    limits = Limits(qos=0, can_retain=False, expiry=60)
    bench.connectivity.connected(Connected(session=bench.line, rejoined=False, limits=limits))
    for words in ("broker does not keep retained", "; it keeps messages", "60 s", "3600 s"):
        assert words in bench.problems["server-limits"]
    assert "broker does not accept messages with QoS 1" in bench.problems["qos-missing"]
    enough = Limits(qos=1, can_retain=True, expiry=3600)
    bench.connectivity.connected(Connected(session=bench.line, rejoined=False, limits=enough))
    assert bench.problems == {}
    # Nobody asked for what is not kept.
    bench.line.upkeep = Upkeep()
    limits = Limits(can_retain=False)
    bench.connectivity.connected(Connected(session=bench.line, rejoined=False, limits=limits))
    assert bench.problems == {}


def test_a_callback_that_failed_has_the_session_connect_again(bench: Bench) -> None:
    event = CallbackFailed(session=bench.line, name="on_publish", error=ValueError("what"))
    bench.connectivity.callback_failed(event)
    assert bench.line.reconnects == 1
