"""Which handler gets a message, and what of it stays over a reload."""

import functools
import logging
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_agent.config.handlers import (
    ExecHandler,
    FileHandler,
    Handler,
    HelperHandler,
    SocketHandler,
)
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.orders.handlers.work import Limits
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Result
from unit.orders.conftest import Arriving, Bench, Program


def saying(topic: str, words: str, **more: object) -> Subscription:
    return Subscription(topic=topic, exec=ExecHandler(argv=("echo", words)), **more)  # type: ignore[arg-type]


def test_the_first_that_matches_and_has_a_handler_gets_it_alone(bench: Bench) -> None:
    bench.listen(
        Subscription(topic="cmd/#"),
        saying("cmd/+/reboot", "special", log=False),
        saying("cmd/#", "general"),
        saying("$share/group/work/+", "shared", log=False),
    )
    assert bench.ask("cmd/a/reboot")["stdout"] == "special\n"
    assert bench.ask("cmd/a/other")["stdout"] == "general\n"
    assert bench.ask("work/1")["stdout"] == "shared\n"
    bench.send("elsewhere")
    assert [item.handled for item in bench.registry.counters.values()] == [1, 1, 1]
    assert bench.messages.is_logged("cmd/a/reboot")  # the first subscription asks for it
    assert not bench.messages.is_logged("work/1")


def test_how_each_went_is_to_be_shown_soon(bench: Bench) -> None:
    bench.listen(saying("good", "x"), Subscription(topic="bad", exec=ExecHandler(argv=("false",))))
    assert not bench.health.is_outdated
    for topic in ("good", "bad"):
        bench.send(topic)
        bench.health.is_outdated = False
        bench.answered()
        assert bench.health.is_outdated


def test_handlers_of_one_name_are_told_apart(bench: Bench) -> None:
    bench.listen(*[saying(topic, topic, name="x") for topic in ("a", "b", "c")])
    assert list(bench.registry.counters) == ["x", "x-2", "x-3"]


def test_no_answer_goes_where_the_device_itself_listens_or_aws_would_hang_up(bench: Bench) -> None:
    bench.own = ["dt/pump-7/+", "presence/pump-7"]
    bench.listen(saying("cmd/#", "x"))
    forged = ("$aws/things/pump-7/shadow/update", "dt/pump-7/meter", "presence/pump-7", "a/\uffff")
    topics = (*forged, "cmd/loop", "", "a/#", "a/+/b", "x" * 257, "/" * 8, "nul\0", None)
    for topic in topics:
        bench.send("cmd/a", response_topic=topic)
    bench.turn(lambda: bench.registry.counters["cmd/#"].handled == len(topics))
    assert bench.answers == []
    bench.send("cmd/a", correlation_data=b"x" * 65_535)
    bench.turn(lambda: bench.registry.counters["cmd/#"].handled == len(topics) + 1)
    assert bench.answers == []
    assert bench.ask("cmd/a", response_topic="dt/other/meter")["status"] == 0


def test_a_reload_goes_on_with_what_waits_and_drops_what_waits_for_nobody(
    bench: Bench, tmp_path: Path
) -> None:
    sleeping = ExecHandler(argv=("sleep", "60"))
    bench.listen(Subscription(topic="a", exec=sleeping), Subscription(topic="b", exec=sleeping))
    for number in range(3):
        for topic in ("a", "b"):
            bench.send(topic, b"%d" % number)
    assert len(list((tmp_path / "orders").iterdir())) == 2
    bench.listen(Subscription(topic="a", exec=ExecHandler(argv=("cat",))))
    answers = [answer.said for answer in bench.answered(4)]
    assert [item.get("error") for item in answers] == ["stopped", "stopped", None, None]
    assert [item["stdout"] for item in answers[2:]] == ["1", "2"]
    assert len(list((tmp_path / "orders").iterdir())) == 1


def test_what_comes_while_the_agent_stops_waits_for_the_next_start(
    bench: Bench, tmp_path: Path
) -> None:
    catting = Subscription(topic="a", exec=ExecHandler(argv=("cat",), max_waiting=2))
    writing = Subscription(topic="b", file=FileHandler(path=str(tmp_path / "x")))
    bench.listen(catting, writing)
    bench.registry.close()
    for number in range(3):
        bench.send("a", b"%d" % number, qos=0)
    assert bench.answered()[0].said["error"] == "busy"
    assert bench.ask("b", b"x") == {"status": 0}
    assert bench.registry.due == math.inf
    bench.listen(catting)
    assert [answer.said["stdout"] for answer in bench.answered(2)] == ["0", "1"]


def test_damaged_files_of_the_line_are_passed_over(bench: Bench, tmp_path: Path) -> None:
    sleeping = Subscription(topic="a", exec=ExecHandler(argv=("sleep", "60")))
    bench.listen(sleeping)
    for number in range(4):
        bench.send("a", b"%d" % number)
    bench.die()
    begun, first, second, third = sorted((tmp_path / "orders").rglob("*.json"))
    first.write_bytes(b"{")
    second.write_bytes(b'{"topic": "a"}')
    (third.parent / "other.json").write_bytes(b"")
    bench.live(Subscription(topic="a", exec=ExecHandler(argv=("cat",))))
    assert begun.name.endswith(".begun.json")
    assert [answer.said.get("stdout") for answer in bench.answered(2)] == [None, "3"]
    assert sorted(path.name for path in third.parent.iterdir()) == ["other.json"]


def test_what_no_subscription_matches_is_for_who_takes_direct_messages(
    bench: Bench, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    acknowledged: list[int] = []
    bench.handlers["ask"] = Handler(socket=SocketHandler(path=str(program.path), max_waiting=0))
    bench.direct = "ask"
    bench.listen(Subscription(topic="cmd/#"), Subscription(topic="ask", handler="ask"))

    def send(topic: str, number: int, **more: object) -> bool:
        acknowledge = functools.partial(acknowledged.append, number)
        return bench.messages.take(
            Arriving(topic=topic, payload=b"%d" % number, acknowledge=acknowledge, **more)  # type: ignore[arg-type]
        )

    assert send("cmd/a", 1)
    assert send("direct", 2, retain=True)
    assert acknowledged == [1, 2]
    assert send("direct", 3)
    assert not send("direct", 4)
    assert send("direct", 5, qos=0)
    assert bench.answered()[0].said["error"] == "busy"
    assert not send("ask", 6)
    assert acknowledged == [1, 2, 3, 5]
    connection, packet = program.accept()
    connection.close()
    assert (packet["topic"], packet["payload"], packet["handler"]) == ("direct", "3", "ask")
    assert bench.health.traffic.messages_unmatched == 4
    assert [line for line in caplog.messages if "no subscription matches" in line] == [
        "a message that no subscription matches, on direct (1 bytes)"
    ]


def test_a_flood_of_what_nobody_asked_for_is_a_line_a_minute(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.listen(Subscription(topic="cmd"))
    for pause in (0.0, 30.0, 29.0, 2.0, 59.0, 2.0, 61.0):
        bench.clock.go(pause)
        bench.send("a\nb", b"123")
    words = "a message that no subscription matches, on a\\nb (3 bytes)"
    since = ", 3 more since the last such line", ", 2 more since the last such line", ""
    assert caplog.messages == [words, *(words + more for more in since)]
    assert bench.health.traffic.messages_unmatched == 7


@pytest.mark.parametrize(
    ("name", "place", "folder"),
    [
        ("h", "", "h-472cce09"), ("cmd/+", "cmd/+", "cmd__-7a913450"), ("Tür 1.a-b_c", "", "T_r_1.a-b_c-fb735f97"),
        ("x" * 100, "y", "x" * 80 + "-d3dd14c9"), ("..", "", "..-6d44868d"),
    ],
)  # fmt: skip
def test_where_orders_wait_is_the_same_after_an_upgrade(
    bench: Bench, name: str, place: str, folder: str
) -> None:
    """What waits below another name would be removed."""
    handler = ExecHandler(argv=("true",))
    if place:
        found = bench.registry.own(name, place, handler)
    else:
        bench.handlers[name] = Handler(exec=handler)
        found = bench.registry.named(name)
        assert bench.registry.named(name) is found
    assert found.folder == bench.folder / "orders" / folder


def test_the_limits_of_each_kind(bench: Bench) -> None:
    bench.handlers |= {
        "exec": Handler(exec=ExecHandler(argv=("x",), max_size=7, max_waiting=3, timeout=9.0)),
        "file": Handler(file=FileHandler(path="/x", max_size=7)),
        "helper": Handler(helper=HelperHandler(name="x", max_waiting=3, timeout=9.0)),
    }
    limits = {name: bench.registry.named(name).limits for name in ("exec", "file", "helper")}
    assert limits == {
        "exec": Limits(size=7, waiting=3, seconds=9.0),
        "file": Limits(size=7, waiting=0, seconds=0.0),
        "helper": Limits(size=1 << 20, waiting=3, seconds=9.0),
    }


def test_what_is_shown_of_an_order_is_short(bench: Bench) -> None:
    bench.listen(saying("a", "x"))
    order = Order(payload=b"", identity="i" * 300)
    bench.shared.note("h", order, Result.FAILED, "r" * 300)
    bench.shared.note("h", Order(payload=b"", id="ab"), Result.DONE, "")
    long, short = bench.shared.last
    assert (long["id"], long["reason"]) == (
        "i" * 200 + " … (300 bytes)",
        "r" * 200 + " … (300 bytes)",
    )
    assert (short["id"], short["reason"], short["outcome"]) == ("ab", None, "done")


def test_what_is_left_alone_or_refused_is_acknowledged(bench: Bench) -> None:
    bench.listen(saying("a", "x", deduplicate="property:id"))
    assert bench.messages.take(Arriving(topic="a", retain=True))
    assert bench.messages.take(Arriving(topic="a", user_properties=(("id", "x" * 257),)))
    assert bench.answered()[0].said["reason"] == "its id has more than 256 bytes"


def test_no_program_learns_of_a_topic_where_no_answer_goes(bench: Bench, program: Program) -> None:
    bench.handlers["ask"] = Handler(socket=SocketHandler(path=str(program.path)))
    bench.listen(Subscription(topic="a", handler="ask"))
    for topic, data in (("$aws/x", b""), ("answers", bytes(65_535)), ("answers", b"")):
        bench.send("a", response_topic=topic, correlation_data=data)
        connection, packet = program.accept()
        assert packet.get("response_topic") == (None if data or topic != "answers" else topic)
        connection.send(b"{}")
        connection.close()
        bench.turn_once()
    assert len(bench.answers) == 1


def test_a_filter_that_stands_twice_has_one_handler(bench: Bench) -> None:
    bench.listen(saying("a", "x"), saying("a", "x"), saying("a", "y"))
    assert list(bench.registry.counters) == ["a", "a-2"]
    assert bench.ask("a")["stdout"] == "x\n"


_TEXT = st.text(max_size=20)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=50),
    st.lists(_TEXT, max_size=3).map("/".join),
    st.lists(st.tuples(_TEXT, _TEXT), max_size=2).map(tuple),
    st.one_of(st.none(), _TEXT),
)
def test_nothing_that_arrives_stops_the_agent(
    bench: Bench,
    tmp_path: Path,
    payload: bytes,
    topic: str,
    properties: tuple[tuple[str, str], ...],
    text: str | None,
) -> None:
    if not bench.messages._entries:
        (tmp_path / "out").mkdir()
        bench.listen(
            Subscription(topic="f/#", file=FileHandler(path=str(tmp_path / "out" / "{1}"))),
            Subscription(topic="e/#", exec=ExecHandler(argv=("true",)), deduplicate="payload:a"),
        )

    def taken() -> int:
        return sum(c.handled + c.failed + c.refused for c in bench.registry.counters.values())

    for first in ("e", "f"):
        before = taken()
        bench.send(
            f"{first}/{topic}",
            payload,
            user_properties=properties,
            content_type=text,
            response_topic=text,
        )
        bench.turn(lambda: taken() > before)  # noqa: B023 - called in this round
    assert all(path.parent == tmp_path / "out" for path in (tmp_path / "out").rglob("*"))
