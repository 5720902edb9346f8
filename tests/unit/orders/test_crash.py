"""The agent's death at every change it makes on disk; what was not acknowledged is delivered again."""

import collections
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet_agent.config.handlers import ExecHandler, SocketHandler
from fleet_agent.config.subscriptions import Subscription
from unit.orders.conftest import Arriving, Bench, Program

pytestmark = pytest.mark.slow

IDS = ("0", "1", "2")
CHANGES = ("fsync", "replace", "unlink", "mkdir")


class DeathError(BaseException):
    """The agent is no more: nothing may catch this."""


class Fate:
    """Lets so many changes happen and dies at the next, before it or after it."""

    def __init__(self, left: int, *, is_after: bool) -> None:
        self.left = left
        self._is_after = is_after

    def around(self, change: Callable[..., object]) -> Callable[..., object]:
        def changed(*words: object, **more: object) -> object:
            self.left -= 1
            if self.left == 0 and not self._is_after:
                raise DeathError
            # Not to the disk itself: the process dies, not the machine.
            found = None if change is os.fsync else change(*words, **more)
            if self.left == 0:
                raise DeathError
            return found

        return changed


@contextlib.contextmanager
def fate(monkeypatch: pytest.MonkeyPatch, left: int, *, is_after: bool) -> Iterator[Fate]:
    found = Fate(left, is_after=is_after)
    with monkeypatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, found.around(getattr(os, name)))
        yield found


def arriving(name: str) -> Arriving:
    return Arriving(topic="cmd", payload=name.encode(), user_properties=(("id", name),))


def drive(bench: Bench, pending: list[str]) -> None:
    """Delivers what is not acknowledged, and goes on until nothing does."""
    while pending:
        bench.messages.take(arriving(pending[0]))
        pending.pop(0)
    handler = next(iter(bench.registry))
    bench.turn(lambda: handler._current is None and len(handler._queue) == 0)


def survive(bench: Bench, monkeypatch: pytest.MonkeyPatch, left: int, *, is_after: bool) -> bool:
    """Goes through a death at that change, and on after it; False when there were not so many."""
    pending = list(IDS)
    with fate(monkeypatch, left, is_after=is_after) as found:
        with contextlib.suppress(DeathError):
            drive(bench, pending)
        if found.left > 0:
            return False
    bench.die()
    bench.live()
    drive(bench, pending)
    return True


@pytest.mark.parametrize("is_after", [False, True])
def test_a_program_is_started_once_for_each_command_but_for_the_one_that_the_death_hit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_after: bool
) -> None:
    for left in range(1, 100):
        folder = tmp_path / str(left)
        folder.mkdir()
        log = folder / "log"
        bench = Bench(folder)
        bench.listen(
            Subscription(
                topic="cmd",
                deduplicate="property:id",
                exec=ExecHandler(argv=("sh", "-c", f"cat >>{log}; echo >>{log}")),
            )
        )
        has_died = survive(bench, monkeypatch, left, is_after=is_after)
        started = collections.Counter(log.read_text().split())
        assert max(started.values()) == 1, (left, started)
        assert len(started) >= len(IDS) - has_died, (left, started)
        bench.close()
        if not has_died:
            assert left > 10
            return
    raise AssertionError("it changes the disk without end")


@pytest.mark.parametrize("is_after", [False, True])
def test_a_socket_is_asked_at_least_once_for_each_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program, is_after: bool
) -> None:
    asked: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, packet = program.accept()
            except OSError:
                return
            asked.append(packet["payload"])
            with connection, contextlib.suppress(BrokenPipeError):  # who asked has died
                connection.send(b"{}")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    for left in range(1, 100):
        asked.clear()
        folder = tmp_path / str(left)
        folder.mkdir()
        bench = Bench(folder)
        handler = SocketHandler(path=str(program.path))
        bench.listen(Subscription(topic="cmd", deduplicate="property:id", socket=handler))
        has_died = survive(bench, monkeypatch, left, is_after=is_after)
        assert set(asked) == set(IDS), (left, asked)
        assert len(asked) <= len(IDS) + has_died, (left, asked)
        assert [each for index, each in enumerate(asked) if each not in asked[:index]] == list(IDS)
        bench.close()
        if not has_died:
            assert left > 10
            return
    raise AssertionError("it changes the disk without end")
