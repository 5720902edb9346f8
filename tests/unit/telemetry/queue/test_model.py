"""The queue against a model: whatever happens in whatever order, nothing is lost, doubled or miscounted."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fleet_agent.telemetry.batch import Stored
from fleet_agent.telemetry.model import Topic
from fleet_agent.telemetry.queue import Queue
from support.clock import FakeClock
from support.queues import BOUNDS, forget, numbers, reading_of, take


class Model(RuleBasedStateMachine):
    """Two topics; what AWS has must not come back but by a crash, what it has not must never be missing."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm"))  # thousands of files: no disk waits
        self.clock = FakeClock()
        self.runs = 0
        self.number = 0
        self.waiting: dict[str, list[int]] = {"a": [], "b": []}  # not under way
        self.flying: list[tuple[Topic, list[Stored]]] = []
        self.gone: dict[str, list[int]] = {"a": [], "b": []}  # forgotten, perhaps not yet deleted
        self.sequences: dict[str, int] = {"a": -1, "b": -1}
        self.sources: dict[int, str] = {}  # of each reading
        self.moments: dict[int, float] = {}
        self.numbers: dict[tuple[str, int], int] = {}  # of readings by topic and sequence
        self.priorities: dict[tuple[str, str], int] = {}  # of the newest, by source and topic
        self.queue = self.open()

    def open(self) -> Queue:
        return Queue(self.folder / f"q{self.runs}", BOUNDS, self.clock)

    def teardown(self) -> None:
        self.queue.close()
        shutil.rmtree(self.folder)

    @rule(
        names=st.lists(st.sampled_from("ab"), min_size=1, max_size=6),
        source=st.sampled_from(["", "one", "two"]),
        priority=st.integers(0, 2),
    )
    def add(self, names: list[str], source: str, priority: int) -> None:
        self.clock.go(1)
        batch = []
        known = self.queue._index.names
        following = {name: known[name].next if name in known else 0 for name in "ab"}
        for name in names:
            self.number += 1
            batch.append(reading_of(source, self.number, name, priority=priority))
            self.waiting[name].append(self.number)
            self.sources[self.number] = source
            self.moments[self.number] = self.clock.passed
            self.numbers[name, following[name]] = self.number
            self.priorities[source, name] = priority
            following[name] += 1
        places = self.queue.add(batch)
        for item, place in zip(batch, places, strict=True):
            if place:
                assert place[1] > self.sequences[item.topic]
                self.sequences[item.topic] = place[1]
        assert self.queue.count <= BOUNDS.max_messages or not self.queue.topics
        for topic_number, sequence in self.queue.lost:
            name = next(n for n, t in known.items() if t.number == topic_number)
            number = self.numbers[name, sequence]
            assert number in self.to_be_spared(self.sources[number])
            self.gone[name].append(number)
            self.waiting[name].remove(number)
        self.queue.lost.clear()
        for each, place in zip(batch, places, strict=True):
            assert (place is None) == (int(each.payload) not in self.waiting[each.topic])

    def to_be_spared(self, source: str) -> list[int]:
        """The oldest of the lowest priority of this source, which is the greediest of those that have some.

        Of what was stored together any topic's first.
        """
        waiting = [number for numbers_of in self.waiting.values() for number in numbers_of]
        flying = [number for _, found in self.flying for number in numbers(found)]
        count = Counter(self.sources[number] for number in waiting + flying)
        assert count[source] == max(count[self.sources[number]] for number in waiting)
        firsts = {
            number: (self.priorities[source, name], self.moments[number])
            for name, numbers_of in self.waiting.items()
            for number in [each for each in numbers_of if self.sources[each] == source][:1]
        }
        return [number for number, key in firsts.items() if key == min(firsts.values())]

    @precondition(lambda self: self.queue.topics)
    @rule(most=st.integers(1, 4), newest=st.booleans())
    def take(self, most: int, newest: bool) -> None:
        topic, found = take(self.queue, most, newest=newest)
        waits = self.waiting[topic.name]
        assert 1 <= len(found) <= most
        expected = waits[-len(found) :] if newest else waits[: len(found)]
        assert numbers(found) == expected
        for each in expected:
            waits.remove(each)
        self.flying.append((topic, found))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        topic, found = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        forget(self.queue, topic, found)
        self.gone[topic.name] += numbers(found)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        topic, found = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.queue.give_back(topic, found)
        self.waiting[topic.name] = sorted(self.waiting[topic.name] + numbers(found))

    @rule()
    def flush(self) -> None:
        self.queue.flush()
        self.gone = {"a": [], "b": []}

    @rule()
    def restart(self) -> None:
        self.queue.close()
        self.gone = {"a": [], "b": []}
        self.reopen()

    @rule()
    def crash(self) -> None:
        """What is on disk at this moment, opened by another process."""
        before, self.runs = self.runs, self.runs + 1
        for suffix in ("", "-wal"):
            if (file := self.folder / f"q{before}{suffix}").exists():
                shutil.copy(file, self.folder / f"q{self.runs}{suffix}")
        self.queue.close()
        self.reopen()

    def reopen(self) -> None:
        for topic, found in self.flying:
            self.waiting[topic.name] += numbers(found)
        self.flying.clear()
        self.queue = self.open()
        for name, waits in self.waiting.items():
            again: list[int] = []
            for topic in [each for each in self.queue.topics if each.name == name]:
                back_again: list[Stored] = []
                while topic.unsent:
                    back_again += self.queue.take(topic, 1000, 1 << 20)
                again = numbers(back_again)
                self.queue.give_back(topic, back_again)
            assert again == sorted(again)
            back = set(again) - set(waits)
            assert back <= set(self.gone[name])
            assert set(waits) <= set(again)
            waits[:] = again
            known = self.queue._index.names
            for lane in known[name].lanes.values() if name in known else ():
                self.priorities[lane.source.name, name] = lane.priority
            self.gone[name] = [each for each in self.gone[name] if each not in back]

    @invariant()
    def counts(self) -> None:
        flying = sum(len(found) for _, found in self.flying)
        waiting = sum(map(len, self.waiting.values()))
        assert self.queue.count == flying + waiting
        everything = [wait for waits in self.waiting.values() for wait in waits]
        everything += [number for _, found in self.flying for number in numbers(found)]
        assert self.queue.bytes == sum(len(str(each)) for each in everything)


TestModel = Model.TestCase


TestModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
