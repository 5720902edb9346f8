"""A file that is removed, or replaced by something else, while the queue is open."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.config.telemetry import Queue as Bounds
from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry.queue import Queue
from support.disks import no_file_larger_than
from support.queues import OpenQueue, drained, numbers, reading, take


def _remove(*names: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> bool:
        for name in names:
            (folder / f"q{name}").unlink()
        return True

    return remove


@pytest.mark.parametrize(
    "happens",
    [
        _remove("", "-wal"),
        _remove(""),
        _remove("-wal"),
        lambda folder: (folder / "q").rename(folder / "old"),
        lambda folder: _remove("", "-wal")(folder) and (folder / "q").write_bytes(b"x" * 5000),
        lambda folder: _remove("")(folder) and (folder / "q").mkdir(),
    ],
)
def test_a_removed_file_is_written_again_with_every_reading(
    tmp_path: Path, happens: Callable[[Path], object]
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    bounds, now = Bounds(), SystemClock().wall()
    with contextlib.closing(Queue(folder / "q", bounds, SystemClock())) as queue:
        queue.add([reading(number, time=now) for number in range(3)])
        topic, found = take(queue, 1)
        happens(folder)
        queue.add([reading(number, time=now) for number in (3, 4)])
        shutil.copytree(folder, tmp_path / "after")
        with contextlib.closing(
            Queue(tmp_path / "after" / "q", bounds, SystemClock())
        ) as next_one:
            assert drained(next_one) == {"t": [0, 1, 2, 3, 4]}
        assert numbers(found) == [0]
        queue.forget(topic, found)
        assert drained(queue) == {"t": [1, 2, 3, 4]}
        # Once.
        before = sorted(path.name for path in folder.iterdir())
        queue.add([reading(5, time=now)])
        assert sorted(path.name for path in folder.iterdir()) == before


def test_a_removed_file_that_cannot_be_written_again_is_as_soon_as_it_can(
    path: Path, open_queue: OpenQueue
) -> None:
    queue = open_queue()
    queue.add([reading(number, size=300) for number in range(500)])
    _remove("", "-wal")(path.parent)
    with no_file_larger_than(20_000), pytest.raises(StateDirectoryError) as caught:
        queue.add([reading(500)])
    assert str(path) in caught.value.title
    assert list(path.parent.iterdir()) == []
    queue.add([reading(500)])
    assert path.is_file()
    assert drained(queue) == {"t": list(range(501))}
