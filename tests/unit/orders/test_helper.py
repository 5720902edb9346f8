"""What needs root: asked of the helper, by its protocol. It answers, hangs, lies, is missing, takes its time."""

import contextlib
import json
import math
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.handlers import Handler, HelperHandler
from fleet_agent.config.orders import Jobs
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.orders.handlers.helper import HelperWork
from fleet_agent.orders.order import Order, bound
from fleet_agent.orders.outcome import Outcome
from unit.orders.conftest import LIMIT, Bench
from unit.orders.device import Device

DONE = {"outcome": "done", "status": 0, "reason": "", "stdout": "did it\n", "stderr": ""}
STARTED = {"started": True}


class Helper:
    """The listener of ``fleet-agent-helper``, a connection at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._listener.settimeout(LIMIT)
        self._accepted: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, dict[str, Any]]:
        """The next caller, and its line."""
        connection, _ = self._listener.accept()
        connection.settimeout(LIMIT)
        self._accepted.append(connection)
        with connection.makefile() as lines:
            line: dict[str, Any] = json.loads(lines.readline())
        return connection, line

    def has_caller(self) -> bool:
        """Whether somebody waits to be accepted."""
        return bool(select.select([self._listener], [], [], 0)[0])

    def close(self) -> None:
        for each in (self._listener, *self._accepted):
            each.close()
        self.path.unlink(missing_ok=True)


def say(connection: socket.socket, *values: object) -> None:
    for value in values:
        connection.sendall(json.dumps(value).encode() + b"\n")


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Helper]:
    found = Helper(tmp_path / "helper.sock")
    yield found
    found.close()


@pytest.fixture
def listen(bench: Bench, tmp_path: Path) -> Callable[..., None]:
    def one(**more: Any) -> None:
        settings = HelperHandler(
            name="restart-service", socket=str(tmp_path / "helper.sock"), **more
        )
        bench.handlers["h"] = Handler(helper=settings)
        bench.listen(Subscription(topic="cmd", handler="h"))

    return one


def test_name_and_arguments_go_as_data_and_the_outcome_comes_back(
    bench: Bench, helper: Helper, listen: Callable[..., None]
) -> None:
    listen(arguments=("my-app", "$(id)"), timeout=30.0)
    bench.send("cmd", b"whatever")
    connection, asked = helper.accept()
    assert asked.pop("order")
    assert asked == {"name": "restart-service", "arguments": ["my-app", "$(id)"], "timeout": 30}
    say(connection, STARTED, DONE)
    (answer,) = bench.answered()
    assert answer.said == {"status": 0, "stdout": "did it\n", "truncated": False}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"outcome": "failed", "status": 4, "reason": "no such unit"}, (4, None, "failed")),
        ({"outcome": "failed", "status": None, "reason": "killed"}, (-1, None, "failed")),
        ({"outcome": "refused", "reason": "not in the list"}, (-1, "refused", "refused")),
        ({"outcome": "timed-out", "reason": "30 s"}, (-1, "timeout", "timed out")),
        ({"outcome": "\x1b[31m", "status": True, "stdout": 7}, (-1, None, "failed")),
    ],
)
def test_each_outcome_is_reported_as_it_is(
    bench: Bench,
    helper: Helper,
    listen: Callable[..., None],
    said: dict[str, Any],
    expected: tuple[int, str | None, str],
) -> None:
    listen()
    bench.send("cmd")
    connection, _ = helper.accept()
    say(connection, STARTED, said)
    (answer,) = bench.answered()
    outcome = bench.shared.last[-1]["outcome"]
    assert (answer.said["status"], answer.said.get("error"), outcome) == expected
    assert answer.said["reason"].isprintable()


def test_a_helper_that_is_not_there_is_named_with_what_to_type(
    bench: Bench, listen: Callable[..., None]
) -> None:
    listen()
    bench.send("cmd")
    (answer,) = bench.answered()
    assert answer.said["error"] == "no-helper"
    assert "cannot reach the helper at" in bench.problems["handler-failed h"]
    (problem,) = bench.health.problems
    assert problem.remedy == "Enable the helper: systemctl enable --now fleet-agent-helper.socket"


@pytest.mark.parametrize(
    "said", [b"", b"{", b"[]\n", b'{"outcome": 7}\n', b"\xff\n", b"x" * 300_000]
)
def test_a_helper_that_says_nothing_or_nonsense_is_a_failure(
    bench: Bench,
    helper: Helper,
    listen: Callable[..., None],
    said: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fleet_agent.orders.handlers.helper._ASK_EVERY", 0.1)
    listen()
    bench.send("cmd")
    connection, _ = helper.accept()
    connection.setblocking(False)
    left = said
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while left and not bench.answers:
            with contextlib.suppress(BlockingIOError):
                left = left[connection.send(left) :]
            bench.turn_once()
    connection.close()
    # It may have been started all the same: that is asked.
    bench.turn(helper.has_caller)
    connection, again = helper.accept()
    assert list(again) == ["result"]
    say(connection, {"outcome": "unknown"})
    assert bench.answered()[0].said["error"] == "no-helper"


def test_a_helper_that_hangs_costs_its_time_limit(
    bench: Bench, helper: Helper, listen: Callable[..., None]
) -> None:
    listen(timeout=20.0)
    bench.send("cmd")
    connection, _ = helper.accept()
    say(connection, STARTED)
    bench.turn_once()
    assert 29 < bench.registry.due - bench.clock.monotonic() <= 30, (
        "and what it takes to report that"
    )
    bench.clock.go(30)
    assert bench.answered()[0].said["error"] == "timeout"


def test_what_it_started_is_asked_about_after_the_agents_end(
    bench: Bench, helper: Helper, listen: Callable[..., None]
) -> None:
    listen()
    bench.send("cmd")
    connection, asked = helper.accept()
    say(connection, STARTED)
    bench.turn_once()
    bench.die()
    bench.live()
    connection, again = helper.accept()
    assert again == {"result": asked["order"]}
    say(connection, {"outcome": "running"})
    connection.close()
    bench.turn_once()
    bench.clock.go(2)
    bench.turn(helper.has_caller)
    connection, again = helper.accept()
    assert again == {"result": asked["order"]}
    say(connection, DONE)
    assert bench.answered()[0].said["status"] == 0


def test_what_the_helper_does_not_know_any_more_has_failed(
    bench: Bench, helper: Helper, listen: Callable[..., None]
) -> None:
    listen()
    bench.send("cmd")
    connection, _ = helper.accept()
    say(connection, STARTED)
    bench.turn_once()
    bench.die()
    bench.live()
    connection, _ = helper.accept()
    say(connection, {"outcome": "unknown"})
    (answer,) = bench.answered()
    assert answer.said["reason"] == "the helper does not know how restart-service ended"


def test_what_cannot_be_noted_is_not_begun(
    bench: Bench, helper: Helper, listen: Callable[..., None], tmp_path: Path
) -> None:
    del helper
    listen()
    (tmp_path / "orders").write_text("in the way")
    bench.send("cmd")
    assert bench.answered()[0].said["error"] == "not-kept"


@pytest.fixture
def work(bench: Bench, tmp_path: Path) -> Iterator[HelperWork]:
    """What asks, by itself."""
    settings = HelperHandler(name="x", socket=str(tmp_path / "helper.sock"), timeout=60.0)
    found = HelperWork(settings, bench.mailbox, bench.clock)
    yield found
    found.close()


def ended(bench: Bench, outcomes: list[Outcome]) -> Outcome:
    while not outcomes:
        bench.turn_once()
    (found,) = outcomes
    return found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (DONE, Outcome(stdout=b"did it\n")),
        ({"outcome": "done", "status": 7, "reason": "x"}, Outcome(stdout=b"")),
        ({"outcome": "failed", "status": 4, "reason": "no unit", "stderr": "why\ud800"},
         Outcome(status=4, reason="no unit", stdout=b"", stderr=b"why?")),
        ({"outcome": "killed", "reason": ""}, Outcome(status=-1, reason="x: killed", stdout=b"")),
        ({"outcome": "killed", "reason": 7}, Outcome(status=-1, reason="x: killed", stdout=b"")),
        ({"outcome": "failed", "status": 0}, Outcome(status=-1, reason="x: failed", stdout=b"")),
        ({"outcome": "failed", "status": True}, Outcome(status=-1, reason="x: failed", stdout=b"")),
        ({"outcome": "failed", "status": "4"}, Outcome(status=-1, reason="x: failed", stdout=b"")),
        ({"outcome": "refused", "reason": "no"},
         Outcome(status=-1, error="refused", reason="no", stdout=b"", was_begun=False)),
        ({"outcome": "timed-out", "reason": "slow"},
         Outcome(status=-1, error="timeout", reason="slow", stdout=b"")),
        ({"outcome": "canceled", "reason": "it was", "status": 3},
         Outcome(status=-1, error="canceled", reason="it was", stdout=b"")),
    ],
)  # fmt: skip
def test_what_the_helper_reports_is_what_became_of_it(
    bench: Bench, helper: Helper, work: HelperWork, said: dict[str, Any], found: Outcome
) -> None:
    outcomes: list[Outcome] = []
    work.begin(Order(payload=b""), outcomes.append)
    connection, _ = helper.accept()
    data = b"".join(json.dumps(value).encode() + b"\n" for value in (STARTED, said, DONE))
    # However it is cut; the first end is the one.
    for part in (data[:7], data[7:30], data[30:]):
        connection.sendall(part)
        bench.turn_once()
    assert ended(bench, outcomes) == found
    assert work.due == math.inf


@pytest.mark.parametrize("is_started", [True, False])
def test_one_of_which_the_helper_knows_nothing_was_begun_if_it_said_so(
    bench: Bench, helper: Helper, work: HelperWork, is_started: bool
) -> None:
    outcomes: list[Outcome] = []
    work.begin(Order(payload=b""), outcomes.append)
    connection, _ = helper.accept()
    say(connection, *([STARTED] if is_started else [{"started": 1}]), {"outcome": "unknown"})
    if not is_started:
        connection.close()
        bench.turn_once()
        assert 1 < work.due - bench.clock.monotonic() <= 2, "that was no word of it: it is asked"
        bench.clock.go(2)
        work.act()
        connection, _ = helper.accept()
        say(connection, {"outcome": "unknown"})
    found = ended(bench, outcomes)
    assert (found.error, found.was_begun) == (
        ("stopped", True) if is_started else ("no-helper", False)
    )


def test_one_that_never_ends_is_given_up_and_may_have_had_an_effect(
    bench: Bench, helper: Helper, work: HelperWork
) -> None:
    outcomes: list[Outcome] = []
    assert work.due == math.inf
    work.resume(Order(payload=b"", id="a1"), outcomes.append)
    connection, asked = helper.accept()
    assert asked == {"result": "a1"}
    assert 69 < work.due - bench.clock.monotonic() <= 70
    bench.clock.go(70)
    work.act()
    found = ended(bench, outcomes)
    assert (found.error, found.was_begun) == ("timeout", True)
    connection.close()


def test_one_that_cannot_be_asked_now_is_asked_again_soon(
    bench: Bench, work: HelperWork, tmp_path: Path
) -> None:
    outcomes: list[Outcome] = []
    work.resume(Order(payload=b"", id="a1"), outcomes.append)
    assert 1 < work.due - bench.clock.monotonic() <= 2
    bench.clock.go(2)
    found = Helper(tmp_path / "helper.sock")
    work.act()
    connection, asked = found.accept()
    assert asked == {"result": "a1"}
    say(connection, DONE)
    assert ended(bench, outcomes).is_good
    found.close()


def test_more_arguments_than_a_line_carries_are_refused(
    bench: Bench, helper: Helper, work: HelperWork
) -> None:
    outcomes: list[Outcome] = []
    work.begin(Order(payload=b"", arguments=("x" * 65_536,)), outcomes.append)
    (found,) = outcomes
    assert (found.error, found.was_begun) == ("too-large", False)
    assert found.reason.startswith("its arguments have 65")
    assert found.reason.endswith(" bytes; 65536 are allowed")
    assert not helper.has_caller()
    work.begin(
        Order(payload=b"", id="a1", bound=bound(0.0, bench.clock), arguments=("y",)),
        outcomes.append,
    )
    connection, asked = helper.accept()
    assert asked == {"name": "x", "arguments": ["y"], "order": "a1", "timeout": 1}
    connection.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    settings = HelperHandler(name="install-package", socket=str(tmp_path / "helper.sock"))
    found = Device(
        tmp_path,
        Jobs(enabled=True, operations={"install": "h"}),
        {"h": Handler(helper=settings)},
    )
    yield found
    found.close()


def test_a_job_that_is_canceled_is_ended_by_the_helper_and_only_then_the_next_is_begun(
    device: Device, helper: Helper
) -> None:
    device.connect()
    job = device.cloud.create("j1", {"operation": "install"})
    after = device.cloud.create("j2", {"operation": "install"})
    device.turn(helper.has_caller)
    connection, asked = helper.accept()
    say(connection, STARTED)
    device.settle()
    device.cloud.cancel(job)
    device.turn(helper.has_caller)
    ending, canceled = helper.accept()
    assert canceled == {"cancel": asked["order"]}
    device.turn(lambda: after.details == {"step": "1 of 1: install"})
    assert not helper.has_caller()  # the program still runs
    say(ending, {"outcome": "canceled", "reason": "it was canceled"})
    device.turn(helper.has_caller)
    connection, following = helper.accept()
    assert following["order"] != asked["order"]
    say(connection, STARTED, DONE)
    device.turn(lambda: after.status == "SUCCEEDED")
    device.settle()
    assert [each["outcome"] for each in device.shared.last] == ["refused", "done"]
    assert device.health.problems == []
    assert not list((device.folder / "orders").rglob("*.json"))


def test_canceled_while_the_agent_was_away_it_is_ended_on_its_return(
    device: Device, helper: Helper
) -> None:
    device.connect()
    job = device.cloud.create("j1", {"operation": "install"})
    device.turn(helper.has_caller)
    connection, asked = helper.accept()
    say(connection, STARTED)
    device.settle()
    device.die()
    device.cloud.cancel(job)
    device.live()
    assert helper.accept()[1] == {"result": asked["order"]}
    device.connect()
    device.turn(helper.has_caller)
    connection, canceled = helper.accept()
    assert canceled == {"cancel": asked["order"]}
    say(connection, {"outcome": "running"})
    device.turn(lambda: device.registry.due < device.clock.monotonic() + 3)
    device.clock.go(2)
    device.turn(helper.has_caller)  # it is asked until it has ended
    connection, again = helper.accept()
    assert again == canceled
    say(connection, {"outcome": "canceled"})
    device.turn(lambda: device.shared.last)
    assert not list((device.folder / "orders").rglob("*.json"))


def test_what_cannot_be_ended_keeps_the_next_one_waiting_for_a_while_only(
    device: Device, helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_agent.orders.handlers.helper._ENDING", 0.3)
    device.connect()
    job = device.cloud.create("j1", {"operation": "install"})
    device.turn(helper.has_caller)
    say(helper.accept()[0], STARTED)
    device.settle()
    helper.close()
    device.cloud.cancel(job)
    device.turn(lambda: device.shared.last)
    assert device.shared.last[-1]["reason"] == (
        "the helper did not report the end of install-package in time"
    )
    status, _ = device.does({"operation": "install"}, "j2")
    assert status == "FAILED"
