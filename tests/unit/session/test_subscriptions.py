"""What is asked of a server that grants, refuses, stays silent or hangs up."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet_agent.health.status import Health
from fleet_agent.session.backoff import Patience
from fleet_agent.session.events import Message, NoAnswer, Subscribed
from fleet_agent.session.filter_memory import FILE, FilterMemory
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
        self.qos: dict[str, int] = {}
        self.given_up: list[str] = []
        self.route = cast("Any", SimpleNamespace(host="a1b2.iot.eu-central-1.amazonaws.com"))
        self.client_id = "pump"
        self.upkeep = Upkeep()

    def subscribe(self, filters: Any) -> None:
        self.asked.append([name for name, _ in filters])
        self.qos.update(filters)

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

    def __init__(
        self, folder: Path, *names: str | tuple[str, int], rejoined: bool = False
    ) -> None:
        self.clock = FakeClock()
        self.server = Server()
        self.health = Health(folder, self.clock)
        self.subscriptions = Subscriptions(
            self.server,
            [(name, 1) if isinstance(name, str) else name for name in names],
            self.clock,
            self.health,
            lambda: 0.99,
            FilterMemory(folder),
        )
        self.subscriptions.connected(rejoined=rejoined)

    def answer(self, codes: dict[str, int] | NoAnswer) -> bool:
        return self.subscriptions.subscribed(self.server.answer(codes))

    def go(self) -> float:
        """Lets time pass until something is asked for again; how long that was."""
        seconds = self.subscriptions.due - self.clock.monotonic()
        self.clock.go(seconds)
        self.subscriptions.act()
        return seconds

    @property
    def problems(self) -> dict[str, str]:
        return {item.kind.code: item.title for item in self.health.problems}

    @property
    def remedy(self) -> str:
        (problem,) = self.health.problems
        return problem.remedy


def test_all_are_asked_for_eight_at_a_time(tmp_path: Path) -> None:
    names = [f"a/{number}" for number in range(20)]
    bench = Bench(tmp_path, *names)
    assert [len(asked) for asked in bench.server.asked] == [8, 8, 4]
    assert [name for asked in bench.server.asked for name in asked] == names
    while bench.server.asked:
        bench.answer({})
    assert bench.subscriptions.due == float("inf")
    assert bench.problems == {}


@pytest.mark.parametrize("rejoined", [True, False])
def test_what_an_older_configuration_subscribed_to_is_given_up(
    tmp_path: Path, rejoined: bool
) -> None:
    """The session at AWS outlives the agent: the old filter would bring each message once more."""
    Bench(tmp_path, "cmd/pump/#", "cfg/pump")
    bench = Bench(tmp_path, "cmd/pump/valve", "cfg/pump", rejoined=rejoined)
    assert bench.server.given_up == (["cmd/pump/#"] if rejoined else [])
    again = Bench(tmp_path, "cmd/pump/valve", "cfg/pump", rejoined=True)
    assert again.server.given_up == []


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"[1, null]", b"[" * 100_000, b"\xff"),
        # No filters: to give one up may end the connection, and the next one.
        *(b'[""]', b'["cmd/#/x"]', b'["a\\u0000"]', b'["\\ud800"]'),
    ],
)
def test_a_memory_of_filters_that_makes_no_sense_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert Bench(tmp_path, "a", rejoined=True).server.given_up == []
    assert json.loads((tmp_path / FILE).read_text()) == ["a"]


def test_without_filters_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert (bench.server.asked, bench.subscriptions.due) == ([], float("inf"))


SOON, WHEN_CHANGED = 0.99 * Patience.BUSY.first, 0.99 * Patience.REFUSED.first


@pytest.mark.parametrize(
    ("code", "words", "remedy", "wait"),
    [
        (135, "The thing's policy does not allow iot:Subscribe on topicfilter/b.", "arn:aws:iot:eu-central-1:", SOON),
        (151, "to b: SUBACK 151, quota exceeded; 50 subscriptions for a connection", "less and less often", SOON),
        (143, "to b: SUBACK 143, topic filter invalid; AWS IoT does not", "7 slashes", WHEN_CHANGED),
        (128, "SUBACK 128", "tries again", SOON),
        (-1, "does not know", "tries again", SOON),
    ],
)  # fmt: skip
def test_what_is_refused_is_asked_for_again_until_it_is_granted(
    tmp_path: Path, code: int, words: str, remedy: str, wait: float
) -> None:
    bench = Bench(tmp_path, "a", "b")
    bench.answer({"b": code})
    assert words in bench.problems["subscribe-refused"]
    assert "more" not in bench.problems["subscribe-refused"]
    assert remedy in bench.remedy
    waits = []
    for _ in range(3):
        waits.append(bench.go())
        assert bench.server.asked == [["b"]]
        bench.answer({"b": code})
    assert waits == pytest.approx([wait, 2 * wait, 4 * wait])
    bench.go()
    bench.answer({"b": 1})
    assert bench.problems == {}
    assert bench.subscriptions.due == float("inf")


def test_what_is_granted_late_is_said_once(tmp_path: Path) -> None:
    """Meanwhile messages may have been missed."""
    bench = Bench(tmp_path, "a", "b")
    assert not bench.answer({"b": 135})
    bench.go()
    assert bench.answer({})
    bench.subscriptions.disconnected()
    bench.subscriptions.connected(rejoined=True)
    assert not bench.answer({})


def test_a_policy_that_was_corrected_is_used_at_once_and_no_news_of_what_it_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each filter that was granted had the log say that the next one is not allowed, which was not so any more."""
    bench = Bench(tmp_path, "a", "b", "c", "d")
    with caplog.at_level(logging.WARNING):
        bench.answer({"b": 135, "c": 135})
        assert [" on topicfilter/b. " in line for line in caplog.messages] == [True]
        bench.clock.go(bench.subscriptions._filters["b"].due - bench.clock.monotonic())
        bench.subscriptions._filters["c"].due += 60
        bench.subscriptions.act()
        assert bench.server.asked == [["b"]]
        bench.answer({})
        assert "topicfilter/c" in bench.problems["subscribe-refused"]
        bench.subscriptions.act()
        assert bench.server.asked == [["c"]]
        bench.answer({})
        assert (bench.problems, len(caplog.messages)) == ({}, 1)


def test_one_more_that_is_refused_is_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, "a", "b")
    bench.answer({"b": 135})
    bench.subscriptions.disconnected()
    bench.subscriptions.connected(rejoined=False)
    bench.answer({"a": 135, "b": 135})
    refused = [line for line in caplog.messages if "does not allow" in line]
    assert [" more. " in line for line in refused] == [False, True]


@pytest.mark.parametrize("refused", [2, 3])
def test_how_many_are_refused_is_said_with_the_first_of_them(tmp_path: Path, refused: int) -> None:
    names = [f"a/{number}" for number in range(4)]
    bench = Bench(tmp_path, *names)
    bench.answer(dict.fromkeys(names[:refused], 135))
    title = bench.problems["subscribe-refused"]
    assert title.startswith("The thing's policy does not allow iot:Subscribe on topicfilter/a/0. ")
    assert title.endswith(f" The same applies to {refused - 1} more.")
    assert "topicfilter/a/0" in bench.remedy


@pytest.mark.parametrize(
    ("why", "words", "wait"),
    [
        (NoAnswer.LATE, "no SUBACK arrived within 30 s", SOON),
        (NoAnswer.NOT_HERE, "the server announced that it does not accept such a packet", SOON),
        (NoAnswer.IMPOSSIBLE, "the packet can never be sent", WHEN_CHANGED),
    ],
)
def test_no_answer_is_a_problem_and_asked_for_again(
    tmp_path: Path, why: NoAnswer, words: str, wait: float
) -> None:
    bench = Bench(tmp_path, "a")
    bench.answer(why)
    assert bench.problems["subscribe-unanswered"].endswith(f"the subscription to a: {words}.")
    assert bench.go() == pytest.approx(wait)
    bench.answer({})
    assert bench.problems == {}


def test_an_answer_to_what_is_not_asked_for_is_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a", "b")
    bench.answer({})
    answer = Subscribed(
        session=bench.server, filters=("of nobody", "a"), reason_codes=(135, 135), error=""
    )
    bench.subscriptions.subscribed(answer)
    assert bench.problems == {}
    bench.subscriptions.disconnected()
    bench.subscriptions.connected(rejoined=False)
    bench.subscriptions.subscribed(answer)
    assert "on topicfilter/a." in bench.problems["subscribe-refused"]


def test_what_comes_after_the_end_is_no_answer(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a")
    late = bench.server.answer({"a": 135})
    bench.subscriptions.disconnected()
    bench.subscriptions.subscribed(late)
    assert bench.problems == {}


@pytest.mark.parametrize(("granted", "is_said"), [(0, True), (1, False)])
def test_less_than_was_asked_for_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, granted: int, is_said: bool
) -> None:
    Bench(tmp_path, "a").answer({"a": granted})
    assert ("a is granted only with QoS" in caplog.text) is is_said


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


def test_the_filter_that_ends_the_connection_is_named_and_keeps_no_other_from_being_granted(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, "commands/#", "commands/request", "cmd/#")
    granted: set[str] = set()
    for _ in range(10):
        if bench.server.asked and "commands/#" not in bench.server.asked[0]:
            granted.update(bench.server.asked[0])
            bench.answer({})
        elif bench.server.asked:
            bench.server.asked.clear()
            bench.subscriptions.disconnected()
            bench.subscriptions.connected(rejoined=False)
        elif bench.problems and len(granted) == 2:
            break
        else:
            bench.go()
    assert granted == {"commands/request", "cmd/#"}
    assert "commands/#: the connection ended" in bench.problems["subscribe-unanswered"]
    assert bench.go() >= WHEN_CHANGED
    bench.answer({})
    assert (bench.problems, bench.server.given_up) == ({}, ["commands/request"])


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


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        # A filter for the log alone does not have a command come twice, nor at most once.
        ([("cmd/valve", 1), ("cmd/#", 0)], {"cmd/#": 1}),
        ([("cmd/valve", 0), ("cmd/#", 0)], {"cmd/#": 0}),
        ([("cmd/valve", 1), ("cmd/valve", 0)], {"cmd/valve": 1}),
        ([("$share/g/cmd/valve", 1), ("cmd/valve", 0)], {"cmd/valve": 1}),
    ],
)
def test_a_filter_is_asked_for_with_the_qos_of_what_it_covers(
    tmp_path: Path, wanted: list[tuple[str, int]], asked: dict[str, int]
) -> None:
    assert Bench(tmp_path, *wanted).server.qos == asked


def brought(bench: Bench, *payloads: str, topic: str = "cmd/pump/valve") -> str:
    """What counts of messages that come one after the other."""
    messages = [Message(session=None, topic=topic, payload=text.encode()) for text in payloads]
    found = [item for item in messages if not bench.subscriptions.has_brought(item)]
    return "".join(item.payload.decode() for item in found)


def test_of_what_filters_that_cross_bring_twice_one_counts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cmd/pump/+", "cmd/+/valve", "$share/g/+/pump/valve")
    bench.answer({})
    assert brought(bench, *"aabcbc") == "abc"
    # By then none of them is a shared subscription's.
    bench.clock.go(3)
    assert brought(bench, *"aa") == "a"
    bench.clock.go(30)
    assert brought(bench, *"dd") == "d"
    # No more than one filter matches.
    assert brought(bench, *"aa", topic="cmd/pump/lamp") == "aa"


def test_a_filter_that_was_refused_brings_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cmd/pump/+", "cmd/+/valve")
    bench.answer({"cmd/+/valve": 135})
    assert brought(bench, *"aabb") == "aabb"


def test_a_server_that_sends_no_copies_has_each_message_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cmd/pump/+", "cmd/+/valve")
    bench.answer({})
    assert brought(bench, "a") == "a"
    bench.clock.go(3)
    assert brought(bench, *"aabb") == "aabb"
    bench.subscriptions.disconnected()
    bench.subscriptions.connected(rejoined=False)
    bench.answer({})
    assert brought(bench, *"ccdd") == "cd"


def test_a_shared_subscription_may_bring_a_copy_or_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "$share/g/cmd/pump/+", "cmd/pump/valve")
    bench.answer({})
    # At once, whatever is known of the server; to another member of the group; and the same again, later.
    assert brought(bench, *"aabcc") == "abc"
    bench.clock.go(3)
    assert brought(bench, *"bb") == "b"


def test_a_shared_subscription_brings_a_copy_beside_those_of_others(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "$share/g/cmd/pump/#", "cmd/pump/+", "cmd/+/valve")
    bench.answer({})
    assert brought(bench, *"aaabbb") == "ab"
    bench.clock.go(3)
    assert brought(bench, *"aab") == "ab"


def test_what_a_silent_filter_covers_is_asked_for_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cmd/valve", "cmd/#")
    bench.answer(NoAnswer.LATE)
    assert bench.go() == 0
    assert bench.server.asked == [["cmd/valve"]]


def test_what_is_covered_now_is_given_up_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "a/b/c", "a/b/#", "a/#")
    given_up = []
    for refused in (("a/#", "a/b/#"), ("a/#",), ()):
        for _ in range(8):
            if bench.server.asked:
                bench.answer(dict.fromkeys(refused, 135))
            elif bench.problems:
                bench.go()
        given_up.append([*bench.server.given_up])
    assert given_up == [[], ["a/b/c"], ["a/b/c", "a/b/#"]]
    assert bench.problems == {}


def test_a_kept_session_gives_up_what_is_covered_now(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cmd/valve", "cmd/#")
    bench.subscriptions.disconnected()
    bench.subscriptions.connected(rejoined=True)
    assert bench.server.given_up == ["cmd/valve"]
