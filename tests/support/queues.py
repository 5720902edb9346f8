"""Readings for a queue, and what is in it and in its file."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.model import Topic
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading

# Takes the bounds by name.
OpenQueue = Callable[..., Queue]

BOUNDS = Bounds(max_messages=30, max_bytes=1 << 20, synchronous="normal")


def reading(
    number: int, topic: str = "t", *, time: float = 1.8e9, size: int = 0, priority: int = 1
) -> Reading:
    return Reading(
        topic=topic, payload=str(number).encode().ljust(size), time=time, priority=priority
    )


def reading_of(
    source: str, number: int, topic: str, *, size: int = 0, priority: int = 1
) -> Reading:
    return dataclasses.replace(reading(number, topic, size=size, priority=priority), source=source)


def take(queue: Queue, most: int = 1000, *, newest: bool = False) -> tuple[Topic, list[Stored]]:
    topic = queue.topics[0]
    return topic, queue.take(topic, most, 1 << 20, newest=newest)


def forget(queue: Queue, topic: Topic, found: list[Stored]) -> None:
    for each in found:
        queue.forget(topic, [each])


def send_all(queue: Queue) -> None:
    """Takes all that waits, and forgets it one by one, as if AWS had acknowledged it."""
    while queue.topics:
        forget(queue, *take(queue))


def numbers(found: list[Stored]) -> list[int]:
    return [int(each.payload) for each in found]


def drained(queue: Queue) -> dict[str, list[int]]:
    """The numbers of all that waits, by topic; they stay in flight."""
    found: dict[str, list[int]] = {}
    while queue.topics:
        topic, readings = take(queue)
        found.setdefault(topic.name, []).extend(numbers(readings))
    return found


def unsent_of(topic: Topic) -> list[int]:
    """The sequences of what is not in flight."""
    return [number for first, end in topic.unsent for number in range(first, end)]


def in_file(queue: Queue, table: str = "reading") -> int:
    """The rows of a table; of readings, as many as the rows hold."""
    counted = "sum(coalesce(length(sizes) / 2, 1))" if table == "reading" else "count(*)"
    ((count,),) = queue._file.execute(f"SELECT {counted} FROM {table}")
    return int(count or 0)


def traced(queue: Queue) -> list[str]:
    """The statements that SQLite carries out from now on."""
    statements: list[str] = []
    queue._file._connected.set_trace_callback(statements.append)
    return statements


@contextlib.contextmanager
def unreadable(queue: Queue) -> Iterator[None]:
    """Has SELECT fail, and nothing else."""
    last = ""

    def trace(statement: str) -> None:
        nonlocal last
        last = statement

    connection = queue._file._connected
    connection.set_trace_callback(trace)
    connection.set_progress_handler(lambda: last.startswith("SELECT"), 1)
    yield
    connection.set_progress_handler(None, 1)
    connection.set_trace_callback(None)
