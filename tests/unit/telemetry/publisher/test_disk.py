"""A disk that takes nothing, or whose file cannot be read."""

import dataclasses

from fleet_agent.telemetry.commits import FLUSH_EVERY
from fleet_agent.telemetry.reading import Reading
from fleet_agent.telemetry.topic_backoff import DISK
from support.publishing import TOPIC, Bench, MakeBench


def test_a_full_disk_is_reported_until_it_takes_readings_again(bench: Bench) -> None:
    reported: list[str | None] = []
    reading = Reading(topic=TOPIC, payload=b"1", time=0.0)
    bench.queue._file.execute("PRAGMA max_page_count = 1")
    bench.publisher.put(dataclasses.replace(reading, payload=b"x" * 9000), reported.append)
    bench.settle()
    assert "the disk is full" in str(reported[0])
    assert bench.reported[-1][0] is None
    bench.queue._file.execute("PRAGMA max_page_count = 100000")
    bench.publisher.put(reading, reported.append)
    bench.settle()
    assert reported[1] is None
    assert bench.reported[-1] == (None, None)


def test_an_unreadable_file_is_reported_and_its_readings_sent_later(make_bench: MakeBench) -> None:
    before = make_bench()
    before.put(1, topic="a")
    before.put(2, 3, topic="b")
    before.queue.close()
    bench = make_bench()
    connection = bench.queue._file._connected
    connection.set_progress_handler(lambda: 1, 1)
    bench.connect()
    assert bench.wire.carried == []
    assert [topic for topic, _ in bench.reported] == [None, None]
    assert "cannot be used" in str(bench.reported[0][1])
    assert bench.publisher.due == bench.clock.passed + DISK.first
    connection.set_progress_handler(None, 1)
    bench.settle()
    assert bench.wire.carried == []
    bench.clock.go(DISK.first)
    bench.settle()
    assert bench.carried("a") == [1]
    assert bench.carried("b") == [[2, 3]]
    bench.answer(0)
    bench.answer(0)
    assert bench.publisher.waiting == 0
    bench.clock.go(FLUSH_EVERY)
    bench.settle()
    assert bench.reported[2:] == [(None, None)]


def test_senders_that_wait_learn_that_the_file_was_damaged(bench: Bench) -> None:
    reported: list[str | None] = []
    for number in range(300):
        payload = str(number).encode().ljust(3000)
        reading = Reading(topic=TOPIC, payload=payload, time=0.0)
        bench.publisher.put(reading, None, reported.append)
    bench.settle()
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
    bench.settle()
    assert bench.queue.replaced
    assert len(reported) == 300
    assert any("damaged" in str(words) for words in reported)
    assert bench.publisher.waiting == 0
