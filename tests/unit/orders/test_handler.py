"""One handler over all that may become of an order: it waits, is held, refused, canceled, cut off."""

import json
import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent import clock as clocks
from fleet_agent.config.handlers import (
    ExecHandler,
    FileHandler,
    Handler,
    HelperHandler,
    SocketHandler,
)
from fleet_agent.orders.handler import AGAIN
from fleet_agent.orders.handler import Handler as Doer
from fleet_agent.orders.order import COMMAND, JOB, Order, bound
from fleet_agent.orders.outcome import Outcome
from unit.orders.conftest import LIMIT, Bench, Program


class Board:
    """Handlers ``ask`` (a program on a socket), ``write`` (a file), ``run`` (a program), ``help`` (the helper's)."""

    def __init__(self, bench: Bench, program: Program, folder: Path) -> None:
        self.bench = bench
        self.program = program
        self.folder = folder
        self.acknowledged: list[str] = []
        # Of jobs: which order, and how it ended; each is forgotten when the test says so.
        self.reported: list[tuple[str | None, Outcome]] = []
        self.forget: list[Callable[[], None]] = []
        bench.handlers = {
            "ask": Handler(
                socket=SocketHandler(path=str(program.path), max_waiting=2, max_size=9)
            ),
            "write": Handler(file=FileHandler(path=str(folder / "written"))),
            "run": Handler(exec=ExecHandler(argv=("sleep", "60"), max_waiting=2)),
            "help": Handler(
                helper=HelperHandler(name="x", socket=str(folder / "helper.sock"), max_waiting=2)
            ),
        }
        self.live()

    def live(self) -> None:
        """Begins, as the agent does."""
        self.bench._new()
        self.bench.shared.reporters[JOB] = self
        for name in self.bench.handlers:
            self.bench.registry.named(name)

    def die(self) -> None:
        """As after kill -9, and there again; nothing is done yet."""
        for handler in self.bench.registry:
            handler._work.close()
        self.live()

    def report(
        self, handler: str, order: Order, outcome: Outcome, forget: Callable[[], None]
    ) -> None:
        assert handler in self.bench.handlers
        self.reported.append((order.identity, outcome))
        self.forget.append(forget)

    def __getitem__(self, name: str) -> Doer:
        return self.bench.registry.named(name)

    def give(self, name: str, identity: str | None, origin: str = JOB, **more: Any) -> bool:
        order = Order(payload=more.pop("payload", b"do"), identity=identity, origin=origin, **more)
        return self[name].take(order, lambda: self.acknowledged.append(identity or ""))

    def files(self, name: str) -> list[str]:
        found = self[name].folder.glob("*.json")
        return sorted(path.name.removeprefix("00000000000") for path in found)

    def answers(self) -> None:
        """The program is asked, and answers."""
        connection, _ = self.program.accept()
        connection.send(b"{}")
        connection.close()
        self.bench.turn_once()

    @property
    def said(self) -> list[tuple[str | None, str]]:
        """Of what was reported: which order, and the error or nothing."""
        found = [(identity, outcome.error) for identity, outcome in self.reported]
        self.reported.clear()
        return found


@pytest.fixture
def board(bench: Bench, program: Program, tmp_path: Path) -> Board:
    return Board(bench, program, tmp_path)


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "helper.sock"))
        listener.listen()
        listener.settimeout(LIMIT)
        yield listener


def asked(listener: socket.socket, *answers: object) -> tuple[socket.socket, dict[str, Any]]:
    connection, _ = listener.accept()
    with connection.makefile() as lines:
        line: dict[str, Any] = json.loads(lines.readline())
    for answer in answers:
        connection.sendall(json.dumps(answer).encode() + b"\n")
    return connection, line


# In the line, and out of it -------------------------------------------------------------------------------------------


def test_what_each_is_in_the_folder_while_it_waits_goes_on_and_is_reported(board: Board) -> None:
    handler = board["ask"]
    assert handler.due == math.inf
    for identity in ("a", "b", "c"):
        assert board.give("ask", identity)
    assert not board.give("ask", "d")
    assert not board.give("ask", "d"), "it came again"
    assert board.files("ask") == ["1.json", "2.json", "3.json"]
    assert (handler.counters.waiting, handler.counters.held) == (2, 1)
    assert [handler.holds(each) for each in "acd"] == [False, False, True]
    assert [handler.keeps(each) for each in "abcd"] == [True, True, True, False]
    assert all(handler.has(each) and handler.knows(each) for each in "abcd")
    assert not handler.has("e")
    assert not handler.knows("e")
    board.answers()
    assert board.said == [("a", "")]
    assert board.acknowledged == ["a", "b", "c", "d", "d"]
    assert board.files("ask") == ["1.ended.json", "2.json", "3.json", "4.json"]
    board.forget.pop()()
    assert board.files("ask") == ["2.json", "3.json", "4.json"]
    assert (handler.counters.waiting, handler.counters.held) == (2, 0)
    assert (handler.has("a"), handler.knows("a")) == (False, True)
    for _ in "bcd":
        board.answers()
    assert handler.counters.waiting == 0
    assert handler.counters.handled == 4
    assert handler.due == math.inf


def test_a_program_is_noted_to_be_begun_before_it_is_and_what_waits_is_not(board: Board) -> None:
    for identity in ("a", "b"):
        board.give("run", identity)
    assert board.files("run") == ["1.begun.json", "2.json"]
    ids = board["run"].folder / "ids"
    assert ids.read_text() == '+"a"\n'
    board["run"].cancel("a")
    assert board.files("run") == ["2.begun.json"]
    assert ids.read_text() == '+"a"\n+"b"\n'


def test_an_order_that_nobody_awaits_leaves_nothing_when_it_is_done(board: Board) -> None:
    board.give("ask", None, "message")
    assert board.files("ask") == ["1.json"]
    board.answers()
    assert (board.files("ask"), board.reported, board.bench.answers) == ([], [], [])


def test_a_file_is_written_at_once_and_no_order_of_it_waits_on_disk(board: Board) -> None:
    assert board.give("write", None, "message")
    assert (board.folder / "written").read_bytes() == b"do"
    assert not board["write"].folder.exists()
    assert board["write"].counters.waiting == 0


def test_the_origin_of_an_order_hears_of_it_and_one_that_nobody_serves_is_forgotten(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    board.give("write", "x", COMMAND)
    assert "write: an outcome cannot be reported, because commands are switched off" in caplog.text
    assert (board.files("write"), board.reported) == ([], [])
    assert board.bench.shared.last[-1]["handler"] == "write"


@pytest.mark.parametrize("origin", ["message", JOB])
def test_one_that_was_taken_before_is_left_alone(board: Board, origin: str) -> None:
    board.give("write", "a", "message", response_topic="answers")
    board.bench.answered()
    for number in (1, 2):
        assert board.give("write", "a", origin, response_topic="answers", payload=b"again")
        assert board["write"].counters.duplicates == number
        assert board.acknowledged == ["a"] * (number + 1)
    said = [answer.said.get("error") for answer in board.bench.answers]
    assert said == (["duplicate"] * 2 if origin == "message" else [])
    assert board.reported == [], "a job, or a command, has its outcome already"
    assert (board.folder / "written").read_bytes() == b"do"


def test_what_is_refused_is_counted_shown_and_no_problem(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    before = clocks.text(board.bench.clock.wall())
    assert board.give("ask", "a", payload=bytes(10))
    reason = "it has 10 bytes; 9 are allowed"
    assert board.said == [("a", "too-large")]
    counters = board["ask"].counters
    assert (counters.refused, counters.failed, counters.last_error) == (1, 0, reason)
    assert before <= str(counters.last_error_time) <= clocks.text(board.bench.clock.wall())
    (shown,) = board.bench.shared.last
    assert shown.pop("time")
    assert shown == {
        "origin": "job",
        "handler": "ask",
        "id": "a",
        "outcome": "refused",
        "reason": reason,
    }
    assert board.bench.problems == {}
    assert board.give("ask", "b", payload=bytes(9))
    board.give("ask", None, "message", topic="cmd\n", payload=bytes(10))
    assert caplog.messages == [
        f"ask: refused the order as a: {reason}",
        f"ask: refused the order on cmd\\n: {reason}",
    ]


def test_where_nothing_comes_again_nothing_is_held(board: Board) -> None:
    for number in range(3):
        board.give("ask", str(number))
    order = Order(payload=b"", identity="x", origin=JOB)
    assert board["ask"].take(order, lambda: None, will_repeat=False)
    assert board.said == [("x", "busy")]
    assert board["ask"].counters.last_error == "2 orders are already waiting"


# Canceled -------------------------------------------------------------------------------------------------------------


def test_one_that_is_not_wanted_any_more_is_ended_wherever_it_is(board: Board) -> None:
    for identity in ("a", "b", "c", "d", "e"):
        board.give("run", identity)
    board["run"].cancel("e")
    board.bench.registry.cancel("c")
    assert board.files("run") == ["1.begun.json", "2.json", "4.json"]
    assert board.acknowledged == ["a", "b", "c", "d"]
    board["run"].cancel("nobody")
    board["run"].cancel("a")
    assert board.files("run") == ["2.begun.json", "4.json"]
    assert board.reported == []
    (shown,) = board.bench.shared.last
    assert shown.pop("time")
    assert list(shown.values()) == ["job", "run", "a", "refused", "it was canceled"]
    assert board["run"].knows("a"), "what it did is done"
    assert board["run"].counters.failed == 0
    # The next one is one like any other.
    board["run"].close()
    assert board.said == [("b", "stopped")]


def test_the_one_after_one_that_was_canceled_is_reported(board: Board) -> None:
    for identity in ("a", "b"):
        board.give("ask", identity)
    board["ask"].cancel("a")
    board.program.accept()[0].close()
    board.answers()
    assert board.said == [("b", "")]


def test_one_that_ends_as_it_is_canceled_takes_a_while_and_keeps_the_next_one_waiting(
    board: Board, helper: socket.socket
) -> None:
    for identity in ("a", "b"):
        board.give("help", identity)
    connection, order = asked(helper, {"started": True})
    board["help"].cancel("a")
    connection.close()
    connection, request = asked(helper, {"outcome": "canceled", "reason": "it was"})
    assert request == {"cancel": order["order"]}
    assert board.files("help") == ["1.begun.json", "2.json"]
    board.bench.turn(lambda: board.files("help") == ["2.begun.json"])
    connection.close()
    assert board.reported == []
    asked(helper)[0].close()


# A disk that fails ----------------------------------------------------------------------------------------------------


def test_one_that_the_disk_does_not_give_is_read_again_later(board: Board) -> None:
    for identity in ("a", "b"):
        board.give("ask", identity)
    path = board["ask"].folder / "000000000002.json"
    data = path.read_bytes()
    path.unlink()
    path.symlink_to("/nowhere")
    board.answers()
    assert "orders-not-kept" in board.bench.problems
    assert board["ask"].due - board.bench.clock.monotonic() == pytest.approx(AGAIN, abs=0.2)
    assert board["ask"].counters.waiting == 1
    path.unlink()
    path.write_bytes(data)
    board.bench.clock.go(AGAIN)
    board.bench.registry.act()
    board.answers()
    assert board.said == [("a", ""), ("b", "")]


def test_one_that_cannot_be_kept_is_a_problem_until_one_can(board: Board) -> None:
    (board.folder / "orders").write_text("in the way")
    board.give("ask", "a")
    assert list(board.bench.problems) == ["orders-not-kept"]
    (board.folder / "orders").unlink()
    board.give("ask", "b")
    assert board.bench.problems == {}
    board.answers()
    board.answers()
    assert board.said == [("a", ""), ("b", "")]


# The agent's end ------------------------------------------------------------------------------------------------------


def test_after_its_end_what_waited_goes_on_and_what_was_begun_is_known_to_have_been(
    board: Board,
) -> None:
    for identity in ("a", "b"):
        board.give("run", identity)
    (board["run"].folder / "ids").unlink()
    board.die()
    handler = board["run"]
    assert handler.due == 0.0
    assert handler.counters.waiting == 1
    assert (handler.keeps("a"), handler.knows("a"), handler.keeps("b")) == (True, True, True)
    handler.act()
    ((given, outcome),) = board.reported
    assert (given, outcome.error, outcome.was_begun) == ("a", "stopped", True)
    assert board.files("run") == ["1.ended.json", "2.begun.json"]
    assert (handler.folder / "ids").read_text() == '+"a"\n+"b"\n'
    assert board.bench.problems == {}, "it is nobody's fault"
    assert handler.counters.failed == 1
    assert handler.counters.last_error == (
        "the agent ended while it was carried out; it is not started again"
    )


def test_an_outcome_that_was_not_reported_is_reported_again_and_again(board: Board) -> None:
    board.give("write", "good")
    board["write"].folder.joinpath("ids").unlink()
    board.give("write", "bad", bound=bound(0.0, board.bench.clock))
    for _ in range(2):
        board.reported.clear()
        board.die()
        assert board["write"].due == 0.0
        board["write"].act()
        assert board.said == [("good", ""), ("bad", "timeout")]
        assert board["write"].due == math.inf
    # One that was not done may be given again.
    assert (board["write"].folder / "ids").read_text() == '+"good"\n'
    for forget in board.forget[-2:]:
        forget()
    assert board.files("write") == []


def test_what_had_an_effect_is_known_to_have_been_given_where_it_is_not_done_twice(
    board: Board,
) -> None:
    board.give("run", "a")
    board["run"].close()
    board.give("ask", "b")
    board.program.accept()[0].close()
    board.bench.turn_once()
    assert board.said == [("a", "stopped"), ("b", "no-answer")]
    (board["run"].folder / "ids").unlink()
    board.die()
    for name, identity, is_known in (("run", "a", True), ("ask", "b", False)):
        board[name].act()
        assert board[name].knows(identity) is is_known
    assert board.said == [("a", "stopped"), ("b", "no-answer")]


def test_an_order_is_of_use_for_a_while(board: Board) -> None:
    board.give("write", "a", bound=bound(1.0, board.bench.clock))
    board.give("write", "b", bound=bound(0.0, board.bench.clock))
    assert board.said == [("a", ""), ("b", "timeout")]


def test_one_that_was_done_before_its_file_was_removed_is_not_done_again(board: Board) -> None:
    board.give("ask", "a")
    path = board["ask"].folder / "000000000001.json"
    data = path.read_bytes()
    board.answers()
    path.write_bytes(data)
    board.forget.pop()()
    board.die()
    board["ask"].act()
    assert board.files("ask") == []
    assert not board.program.has_caller()


def test_of_two_that_were_begun_the_helper_is_asked_of_the_first(
    board: Board, helper: socket.socket
) -> None:
    board.give("help", "a")
    asked(helper, {"started": True})[0].close()
    folder = board["help"].folder
    second = folder / "000000000002.begun.json"
    second.write_bytes((folder / "000000000001.begun.json").read_bytes().replace(b'"a"', b'"b"'))
    board.die()
    board["help"].act()
    assert board.said == [("b", "stopped")]
    connection, request = asked(helper, {"outcome": "done"})
    assert list(request) == ["result"]
    board.bench.turn(lambda: board.reported)
    connection.close()
    assert board.said == [("a", "")]


@pytest.mark.parametrize("name", ["ask", "help"])
def test_at_the_end_what_others_do_goes_on_without_the_agent(
    board: Board, helper: socket.socket, name: str
) -> None:
    for identity in ("a", "b"):
        board.give(name, identity)
    board[name].close()
    board[name].close()
    assert board.give(name, "c"), "it waits for the next start"
    assert board.reported == []
    assert board[name].due == math.inf
    assert board.files(name)[1:] == ["2.json", "3.json"]
    board.live()
    board[name].act()
    assert board[name].keeps("a")
    assert board[name].counters.waiting == 2
    helper.close()
    board[name].close()


def test_at_the_end_a_program_is_ended_and_what_waits_is_not_begun(board: Board) -> None:
    for identity in ("a", "b"):
        board.give("run", identity)
    board["run"].close()
    ((given, outcome),) = board.reported
    assert (given, outcome.error, outcome.was_begun) == ("a", "stopped", True)
    assert outcome.reason == "the agent was stopped while the program ran"
    assert board.files("run") == ["1.ended.json", "2.json"]
    assert board.bench.problems == {}


# Failures -------------------------------------------------------------------------------------------------------------


def test_a_failure_is_a_problem_with_what_helps_until_one_goes_well(board: Board) -> None:
    board.bench.handlers["gone"] = Handler(socket=SocketHandler(path=str(board.folder / "gone")))
    for number in (1, 2):
        board.give("gone", str(number))
        assert board["gone"].counters.failed == number
    (problem,) = board.bench.health.problems
    assert problem.title.startswith("The handler gone failed: cannot pass it to ")
    assert not problem.title.endswith("..")
    assert "Start the program that listens there" in (problem.remedy or "")
    assert board.said == [("1", "no-program"), ("2", "no-program")]
    assert not board["gone"].knows("1"), "it may be given again"
    listening = Program(board.folder / "gone")
    board.give("gone", "3")
    connection, _ = listening.accept()
    connection.send(b"{}")
    board.bench.turn(lambda: board["gone"].counters.handled)
    connection.close()
    listening.close()
    assert board.bench.problems == {}
    assert board["gone"].knows("3")
