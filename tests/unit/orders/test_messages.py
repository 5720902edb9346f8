"""Which handler gets a message, and what of it stays over a reload."""

import math
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_agent.config.handlers import ExecHandler, FileHandler
from fleet_agent.config.subscriptions import Subscription
from unit.orders.conftest import Bench


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
    assert [item.handled for item in bench.roster.counters.values()] == [1, 1, 1]
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
    assert list(bench.roster.counters) == ["x", "x-2", "x-3"]


def test_no_answer_goes_where_the_device_itself_listens_or_aws_would_hang_up(bench: Bench) -> None:
    bench.own = ["dt/pump-7/+", "presence/pump-7"]
    bench.listen(saying("cmd/#", "x"))
    forged = ("$aws/things/pump-7/shadow/update", "dt/pump-7/meter", "presence/pump-7", "a/\uffff")
    topics = (*forged, "cmd/loop", "", "a/#", "a/+/b", "x" * 257, "/" * 8, "nul\0", None)
    for topic in topics:
        bench.send("cmd/a", response_topic=topic)
    bench.turn(lambda: bench.roster.counters["cmd/#"].handled == len(topics))
    assert bench.answers == []
    bench.send("cmd/a", correlation_data=b"x" * 65_535)
    bench.turn(lambda: bench.roster.counters["cmd/#"].handled == len(topics) + 1)
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
    bench.roster.close()
    for number in range(3):
        bench.send("a", b"%d" % number, qos=0)
    assert bench.answered()[0].said["error"] == "busy"
    assert bench.ask("b", b"x") == {"status": 0}
    assert bench.roster.due == math.inf
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
        return sum(c.handled + c.failed + c.refused for c in bench.roster.counters.values())

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
