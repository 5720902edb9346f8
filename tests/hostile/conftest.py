"""Agents that are provisioned at a scripted server, as many as a test wants, at once."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.telemetry import queue
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Reading
from hostile.running import Running, Start
from support.scripted import Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """It runs as soon as the first agent does: whom it trusts is known by then."""
    return Server(tmp_path / "server")


def leave(state_dir: Path, topics: Sequence[str]) -> None:
    """Puts a reading on each of these topics into the queue, whatever they are."""
    kept = Queue(state_dir / queue.NAME, Telemetry().queue, SystemClock())
    kept.add([Reading(topic=topic, payload=b"1", time=time.time()) for topic in topics])
    kept.close()


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Iterator[Start]:
    """``start(*names, **settings)`` runs a device of each name; called once.

    ``queued``: topics of readings that an earlier agent left in the queue of each.
    """
    with ExitStack() as stack:

        def begin(*names: str, queued: Sequence[str] = (), **settings: Any) -> list[Running]:
            places = {name: tmp_path / name for name in names}
            for name, place in places.items():
                server.make_device(place, name)
                if queued:
                    leave(place, queued)
            stack.enter_context(server)
            found = []
            for name, place in places.items():
                one = Running(server, name, place, **settings)
                stack.callback(one.close)
                found.append(one)
            return found

        yield begin
