"""What is asked of a server that grants, refuses, stays silent or hangs up."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet_agent.health.status import Health
from fleet_agent.session.events import NoAnswer, Subscribed
from fleet_agent.session.message import Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.subscriptions import (
    Subscriptions,
)
from support.clock import FakeClock


class Server(Session):
    """Notes what is asked; the test answers."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.given_up: list[str] = []
        self.route = cast("Any", SimpleNamespace(host="broker"))
        self.client_id = "pump"
        self.upkeep = Upkeep()

    def subscribe(self, filters: Any) -> None:
        self.asked.append([name for name, _ in filters])

    def unsubscribe(self, names: Any) -> None:
        self.given_up += names

    def answer(self, codes: dict[str, int] | NoAnswer) -> Subscribed:
        """To the packet that is oldest."""
        names = self.asked.pop(0)
        if isinstance(codes, NoAnswer):
            return Subscribed(
                session=self,
                filters=tuple(names),
                reason_codes=(),
                error="why",
                no_answer=codes,
            )
        found = tuple(codes.get(name, 1) for name in names)
        return Subscribed(session=self, filters=tuple(names), reason_codes=found, error="")


class Bench:
    """Subscriptions of a device, with a clock that the test turns."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.clock = FakeClock()
        self.server = Server()
        self.health = Health(folder, self.clock)
        self.subscriptions = Subscriptions(
            self.server, [(name, 1) for name in names], self.clock, self.health, lambda: 0.99
        )
        self.subscriptions.connected(rejoined=False)

    def answer(self, codes: dict[str, int] | NoAnswer) -> None:
        self.subscriptions.subscribed(self.server.answer(codes))

    def go(self) -> float:
        """Let time pass until something is asked for again; how long that was."""
        seconds = self.subscriptions.due - self.clock.monotonic()
        self.clock.go(seconds)
        self.subscriptions.act()
        return seconds

    @property
    def problems(self) -> dict[str, str]:
        return {item.kind.code: item.title for item in self.health.problems}


def test_all_are_asked_for_eight_at_a_time(tmp_path: Path) -> None:
    names = [f"a/{number}" for number in range(20)]
    bench = Bench(tmp_path, *names)
    assert [len(asked) for asked in bench.server.asked] == [8, 8, 4]
    assert [name for asked in bench.server.asked for name in asked] == names
    while bench.server.asked:
        bench.answer({})
    assert bench.subscriptions.due == float("inf")
    assert bench.problems == {}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (135, "iot:Subscribe on topicfilter/b"),
        (151, "SUBACK 151, quota exceeded"),
        (143, "SUBACK 143, topic filter invalid"),
        (128, "SUBACK 128"),
        (-1, "does not know"),
    ],
)
def test_what_is_refused_is_asked_for_again_until_it_is_granted(
    tmp_path: Path, code: int, words: str
) -> None:
    bench = Bench(tmp_path, "a", "b")
    bench.answer({"b": code})
    assert words in bench.problems["subscribe-refused"]
    waits = []
    for _ in range(3):
        waits.append(bench.go())
        assert bench.server.asked == [["b"]]
        bench.answer({"b": code})
    assert 1.0 <= waits[0] < waits[1] < waits[2]
    bench.go()
    bench.answer({"b": 1})
    assert bench.problems == {}
    assert bench.subscriptions.due == float("inf")


def test_no_answer_is_a_problem_and_asked_for_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a")
    bench.answer(NoAnswer.LATE)
    assert "no SUBACK came within 30 s" in bench.problems["subscribe-unanswered"]
    bench.go()
    bench.answer({})
    assert bench.problems == {}


def test_a_new_connection_asks_for_all_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a", "b")
    bench.answer({"b": 135})
    bench.subscriptions.disconnected()
    assert bench.subscriptions.due == float("inf")
    bench.subscriptions.connected(rejoined=True)
    assert bench.server.asked == [["a", "b"]]


def test_the_filter_that_ends_the_connection_is_found_and_the_others_stay(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a", "bad", "c")
    granted: set[str] = set()
    tries = 0
    for _ in range(40):
        if not bench.server.asked:
            bench.go()
            continue
        if "bad" in bench.server.asked[0]:
            tries += 1
            bench.subscriptions.subscribed(bench.server.answer(NoAnswer.CUT))
            bench.server.asked.clear()
            bench.subscriptions.disconnected()
            granted.clear()
            bench.subscriptions.connected(rejoined=False)
        else:
            granted.update(bench.server.asked[0])
            bench.answer({})
        if granted == {"a", "c"} and tries > 3:
            return
    pytest.fail(f"after {tries} tries granted: {granted}")


def test_what_another_filter_covers_is_asked_for_only_when_that_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cmd/valve", "cmd/#")
    assert bench.server.asked == [["cmd/#"]]
    bench.answer({"cmd/#": 135})
    bench.subscriptions.act()
    assert bench.server.asked == [["cmd/valve"]]
    bench.answer({})
    assert "cmd/#" in bench.problems["subscribe-refused"]
    bench.go()
    bench.answer({})
    assert (bench.server.given_up, bench.problems) == (["cmd/valve"], {})


def test_a_kept_session_gives_up_what_is_covered_now(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cmd/valve", "cmd/#")
    bench.subscriptions.disconnected()
    bench.subscriptions.connected(rejoined=True)
    assert bench.server.given_up == ["cmd/valve"]
