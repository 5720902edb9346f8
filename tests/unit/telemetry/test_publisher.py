"""The publisher over a real queue and a wire that acknowledges, refuses and breaks as it likes."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.config.telemetry import Batch, Limits, Telemetry
from fleet_agent.errors import AgentError
from fleet_agent.session.mqtt import NOT_AUTHORIZED, Published
from fleet_agent.telemetry.blocks import POLICY
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import MAX_PAYLOAD, Reading
from support.clock import FakeClock
from support.held import Held

TOPIC = "dt/pump/system"


class Bench:
    """A publisher with all that it needs."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.clock = FakeClock()
        self.settings = dataclasses.replace(Telemetry(), **changes)  # type: ignore[arg-type]
        self.queue = Queue(folder / "q.sqlite3", self.settings.queue, self.clock)
        self.wire = Held()
        self.told: list[tuple[str, AgentError | None]] = []
        self.publisher = Publisher(
            self.queue,
            self.settings,
            self.clock,
            lambda topic, error: self.told.append((topic, error)),
        )

    def put(self, *numbers: int, topic: str = TOPIC) -> None:
        for number in numbers:
            payload = str(number).encode()
            self.publisher.put(Reading(topic=topic, payload=payload, time=self.clock.wall()))
        self.publisher.settle()

    def connect(self) -> None:
        self.publisher.connected(self.wire)
        self.publisher.settle()

    def answer(self, code: int | None, index: int = 0) -> None:
        self.publisher.published(self.wire.answer(index, code))
        self.publisher.settle()

    def carried(self, topic: str = TOPIC) -> list[object]:
        return [json.loads(one.payload) for one in self.wire.carried if one.topic == topic]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.queue.close()


def test_nothing_is_sent_before_the_connection_stands(bench: Bench) -> None:
    bench.put(1)
    assert bench.wire.flying == []
    bench.connect()
    assert bench.carried() == [1]
    assert bench.publisher.waiting == 1
    bench.answer(0)
    assert (bench.publisher.waiting, bench.publisher.counts.acknowledged) == (0, 1)


def test_what_gathered_shares_a_message_that_names_each(bench: Bench) -> None:
    bench.put(1, 2, 3)
    bench.connect()
    assert bench.carried() == [[1, 2, 3]]
    properties = dict(bench.wire.carried[0].properties)
    assert (properties["sequence"], properties["count"]) == ("0", "3")
    assert properties["agent"].startswith("fleet-agent/")
    assert bench.wire.carried[0].content_type == "application/json"


def test_no_subscriber_is_no_failure(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.answer(16)
    assert bench.publisher.waiting == 0


def test_what_no_puback_came_for_goes_again_in_order(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.put(2)
    bench.put(3)
    bench.answer(0, index=1)
    bench.publisher.disconnected()
    bench.answer(None)
    bench.answer(None)
    bench.connect()
    assert bench.carried() == [1, 2, 3, 1, 3]


def test_sender_is_told_once_it_is_durable_and_once_aws_has_it(bench: Bench) -> None:
    told: list[str] = []
    reading = Reading(topic=TOPIC, payload=b"1", time=0.0)
    bench.publisher.put(
        reading, lambda why: told.append(f"stored{why}"), lambda why: told.append(f"sent{why}")
    )
    assert told == []
    bench.publisher.settle()
    assert told == ["stored"]
    bench.connect()
    bench.answer(0)
    assert told == ["stored", "sent"]


def test_a_refused_topic_is_kept_named_and_tried_again_slower_and_slower(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    bench.answer(NOT_AUTHORIZED)
    topic, error = bench.told[-1]
    assert topic == TOPIC
    assert error is not None
    assert f"iot:Publish on topic/{TOPIC}" in error.title
    bench.put(2, topic="dt/pump/other")  # another topic goes on
    bench.answer(0)
    for wait in (POLICY.first, POLICY.first * 2):
        assert bench.wire.flying == []
        bench.clock.go(wait - 1)
        bench.publisher.settle()
        assert bench.wire.flying == []
        bench.clock.go(1.1)
        bench.publisher.settle()
        bench.answer(NOT_AUTHORIZED)
    bench.clock.go(POLICY.first * 4 + 1)
    bench.publisher.settle()
    bench.answer(0)
    assert bench.told[-1] == (TOPIC, None)
    assert bench.carried() == [1, 1, 1, 1]
    assert bench.publisher.waiting == 0


def test_a_refused_reading_can_be_dropped_instead(tmp_path: Path) -> None:
    bench = Bench(tmp_path, when_refused="drop")
    bench.connect()
    bench.put(1)
    bench.answer(NOT_AUTHORIZED)
    assert (bench.publisher.waiting, bench.queue.dropped.refused) == (0, 1)


def test_the_window_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=Limits(unacknowledged=2, publishes=0, bytes=0))
    bench.connect()
    for number in range(5):
        bench.put(number)
    assert len(bench.wire.flying) == 2
    bench.answer(0)
    assert bench.carried() == [0, 1, [2, 3, 4]]


def test_no_second_holds_more_messages_than_the_limit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=Limits(unacknowledged=1000), batch=Batch(format="none"))
    bench.connect()
    bench.put(*range(500))
    moments: list[float] = []
    while len(moments) < 500:
        due = bench.publisher.due
        bench.clock.passed = max(bench.clock.passed, due)
        bench.publisher.settle()
        moments += [bench.clock.passed] * (len(bench.wire.carried) - len(moments))
    most = max(sum(start <= at < start + 1 for at in moments) for start in moments)
    assert 80 <= most <= 100
    assert moments[-1] - moments[0] < 500 / 85


def test_readings_wait_for_others_as_long_as_they_may(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch=Batch(max_delay=10))
    bench.connect()
    bench.put(1)
    bench.clock.go(6)
    bench.put(2)
    assert bench.wire.flying == []
    assert bench.publisher.due <= bench.clock.passed + 4
    bench.clock.go(4.1)
    bench.publisher.settle()
    assert bench.carried() == [[1, 2]]


def test_what_is_too_large_for_aws_is_not_taken(bench: Bench) -> None:
    told: list[str] = []
    payload = b"1" * (MAX_PAYLOAD + 1)
    bench.publisher.put(Reading(topic=TOPIC, payload=payload, time=0.0), told.append)
    assert "AWS IoT takes" in told[0]
    assert bench.publisher.waiting == 0


def test_what_expired_while_it_waited_is_not_sent(bench: Bench) -> None:
    now = bench.clock.wall()
    for number, expires in ((1, now + 10), (2, now + 100), (3, None)):
        bench.publisher.put(
            Reading(topic=TOPIC, payload=b"%d" % number, time=now, expires=expires)
        )
    bench.publisher.settle()
    bench.clock.go(50)
    bench.connect()
    assert bench.carried() == [2, 3]
    assert bench.wire.carried[0].expiry == 50
    assert bench.wire.carried[1].expiry is None
    assert bench.queue.dropped.expired == 1


def test_a_full_disk_is_told_and_heals(bench: Bench) -> None:
    told: list[str] = []
    reading = Reading(topic=TOPIC, payload=b"1", time=0.0)
    bench.queue._file.execute("PRAGMA max_page_count = 1")
    bench.publisher.put(dataclasses.replace(reading, payload=b"x" * 9000), told.append)
    bench.publisher.settle()
    assert "the disk is full" in told[0]
    assert bench.told[-1][0] == ""
    bench.queue._file.execute("PRAGMA max_page_count = 100000")
    bench.publisher.put(reading, told.append)
    bench.publisher.settle()
    assert told[1] == ""
    assert bench.told[-1] == ("", None)


def test_topics_take_turns(bench: Bench) -> None:
    for number in range(3):
        bench.put(number, topic="dt/a")
    bench.put(9, topic="dt/b")
    bench.connect()
    assert [one.topic for one in bench.wire.carried] == ["dt/a", "dt/b"]


def test_many_refusals_of_one_moment_count_once_and_a_new_connection_tries_at_once(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, batch=Batch(format="none"))
    bench.connect()
    bench.put(*range(8))
    while bench.wire.flying:
        bench.publisher.published(bench.wire.answer(0, NOT_AUTHORIZED))
    bench.publisher.settle()
    bench.clock.go(POLICY.first + 0.1)
    bench.publisher.settle()
    assert bench.wire.flying, "it was left alone for longer than the first time"
    bench.publisher.disconnected()
    while bench.wire.flying:
        bench.answer(None)
    bench.connect()
    assert bench.told[-1] == (TOPIC, None)
    for _ in range(8):
        bench.clock.go(1)
        bench.answer(0)
    assert bench.publisher.waiting == 0


def test_a_refusal_is_over_with_the_next_success_although_readings_were_dropped(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, when_refused="drop")
    bench.connect()
    for code in (NOT_AUTHORIZED, 0):
        bench.put(1)
        bench.answer(code)
    assert bench.told[-1] == (TOPIC, None)


def test_a_cut_connection_is_no_refusal_whichever_news_comes_first(bench: Bench) -> None:
    bench.connect()
    bench.put(1)
    message, tag = bench.wire.flying.pop()
    cut = Published(
        session=bench.wire,
        topic=message.topic,
        tag=tag,
        reason_code=None,
        error="AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY: …",
    )
    bench.publisher.published(cut)
    bench.publisher.disconnected()
    assert bench.told == []
    bench.connect()
    assert bench.carried() == [1, 1]


def test_who_waits_for_a_reading_hears_that_the_file_was_damaged(bench: Bench) -> None:
    told: list[str] = []
    for number in range(300):
        payload = str(number).encode().ljust(3000)
        reading = Reading(topic=TOPIC, payload=payload, time=0.0)
        bench.publisher.put(reading, None, told.append)
    bench.publisher.settle()
    path = bench.queue._file._path
    bench.queue._file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    bench.queue._file.execute("PRAGMA cache_size = 1")
    bench.queue._file.execute("PRAGMA shrink_memory")
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * 400_000)
    bench.connect()
    while bench.wire.flying:
        bench.answer(0)
    bench.publisher.settle()
    assert bench.queue.replaced
    assert len(told) == 300
    assert any("damaged" in words for words in told)
    assert bench.publisher.waiting == 0


def test_what_is_of_use_for_a_while_is_so_although_the_clock_is_set(bench: Bench) -> None:
    bench.clock.now = 100.0
    reading = Reading(topic=TOPIC, payload=b"1", time=100.0, expires=160.0)
    bench.publisher.put(reading)
    bench.publisher.settle()
    bench.clock.now = 1.8e9
    bench.clock.go(20)
    bench.connect()
    assert bench.carried() == [1]
    assert bench.wire.carried[0].expiry == 40


def test_stopping_waits_for_nobody_to_share_a_message(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch=Batch(max_delay=3600))
    bench.connect()
    bench.put(1)
    assert bench.wire.flying == []
    bench.publisher.settle(at_once=True)
    assert bench.carried() == [1]
    bench.answer(0)
    assert bench.publisher.is_idle(bench.clock.monotonic() + 10)
