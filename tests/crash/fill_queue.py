"""Stores readings and sends some, saying each: fill_queue.py STATE_DIR RUN WRITER.

``stored TOPIC RUN.NUMBER`` comes once the queue has it, ``sent …`` before it is told that AWS has it. WRITER
is ``right``, or one of those below.
"""

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import AgentError, StateDirectoryError
from fleet_agent.telemetry.queue import NAME, Queue
from fleet_agent.telemetry.reading import Reading

# Wrong ones: "stored" is said before it is; a commit is not forced to the disk (which a setting may ask for).
ACKNOWLEDGES_FIRST, UNFORCED = "ack-first", "unforced"

TOPICS = ("a", "b")
ROUNDS = 6
T = TypeVar("T")
SURE = Bounds()
Say = Callable[[str, str, str], None]


def fill(state_dir: Path, run: str, say: Say, writer: str = "right") -> None:
    """Two sittings, with the file closed in between: batches in, the oldest of one topic out."""
    number = 0
    bounds = Bounds(synchronous="normal" if writer == UNFORCED else "full")
    for _ in range(2):
        queue = _again(partial(open_queue, state_dir, bounds))
        for turn in range(ROUNDS):
            readings = []
            for topic in TOPICS * (1 + turn % 2):
                number += 1
                payload = f"{run}.{number:04d}".encode()
                readings.append(Reading(topic=topic, payload=payload, time=SystemClock().wall()))
            if writer == ACKNOWLEDGES_FIRST:
                _tell("stored", readings, say)
            _again(partial(queue.add, readings))
            _tell("stored", readings, say)
            if turn % 3 == 1:
                _send(queue, say)
        queue.close()


def open_queue(state_dir: Path, bounds: Bounds = SURE) -> Queue:
    """The queue of a state directory."""
    # Where that fails the queue says so, and is opened once more.
    with contextlib.suppress(OSError):
        state_dir.mkdir(exist_ok=True)
    return Queue(state_dir / NAME, bounds, SystemClock())


def _send(queue: Queue, say: Say) -> None:
    topic = queue.topics[0]
    taken = _again(partial(queue.take, topic, 3, 1 << 20))
    for each in taken:
        say("sent", topic.name, each.payload.decode())
    queue.forget(topic, taken)
    _again(queue.flush)


def _again(act: Callable[[], T]) -> T:
    """Once more when it failed: what was in the way is gone by then."""
    try:
        return act()
    except StateDirectoryError as error:
        print(f"failed: {error.title}", file=sys.stderr)
        return act()


def _tell(what: str, readings: list[Reading], say: Say) -> None:
    for reading in readings:
        say(what, reading.topic, reading.payload.decode())


def main() -> int:
    """Fills it; the error's exit status when it cannot."""
    state_dir, run, writer = sys.argv[1:]
    try:
        fill(
            Path(state_dir),
            run,
            lambda *words: print(*words, flush=True),
            writer,
        )
    except AgentError as error:
        print(error.title, file=sys.stderr)
        return int(error.exit_status)
    return 0


if __name__ == "__main__":
    sys.exit(main())
