"""A growing file by the clock: when it is looked at, its position kept, and it is left for the next."""

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.readings import FileSource
from fleet_agent.files.reserved import Reserved
from fleet_agent.health.status import Health
from fleet_agent.telemetry.reading import MAX_PAYLOAD
from fleet_agent.telemetry.sources.feed import Feed
from fleet_agent.telemetry.sources.file import (
    MISSING,
    POLL,
    QUIET,
    RETRY,
    SAVE_EVERY,
    File,
)
from support.clock import FakeClock
from support.reserved import NOTHING_OWN
from support.sources import Kept


class Bench:
    """A follower whose clock stands still."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.intake = Kept()
        self.health = Health(folder / "run", self.clock)
        self.state = folder / "state"
        self.state.mkdir()
        self.log = folder / "x.log"
        self.record = self.state / "source-x.json"
        self.feed = Feed(
            name="x",
            topic="t",
            priority=1,
            intake=self.intake,
            clock=self.clock,
            health=self.health,
        )
        self.files: list[File] = []

    def begin(self, **options: Any) -> File:
        self.files.append(
            File(
                FileSource(path=str(self.log), name="x", **options),
                self.feed,
                self.state,
                NOTHING_OWN,
            )
        )
        return self.files[-1]

    def append(self, text: str, log: Path | None = None) -> None:
        with (log or self.log).open("a") as file:
            file.write(text)

    def look(self) -> int:
        """Act as often as is due now; how often that was."""
        looks = 0
        while self.files[-1].due <= self.clock.monotonic():
            self.files[-1].act()
            if not self.intake.is_held:
                self.intake.commit()
            looks += 1
            assert looks < 100, "it spins"
        return looks

    def go(self, seconds: float) -> None:
        """Lets time pass, with all looks in it."""
        until = self.clock.passed + seconds
        while self.files[-1].due <= until:
            self.clock.go(max(0.0, self.files[-1].due - self.clock.passed))
            self.look()
        self.clock.go(until - self.clock.passed)

    @property
    def offset(self) -> int:
        """As it is kept."""
        return int(json.loads(self.record.read_text())["offset"])

    @property
    def problem(self) -> str:
        return " ".join(f"{problem.title} {problem.remedy}" for problem in self.health.problems)

    @property
    def stored(self) -> list[bytes]:
        return [reading.payload for reading in self.intake.stored]

    def rotate(self) -> Path:
        return self.log.rename(self.log.with_name("x.log.1"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for file in bench.files:
        file.close()


def test_it_is_looked_at_once_a_second_and_again_at_once_while_there_is_more(
    bench: Bench,
) -> None:
    bench.append("1\n")
    source = bench.begin()
    assert source.due == bench.clock.passed
    assert bench.look() == 2
    assert source.due == bench.clock.passed + POLL
    bench.clock.go(POLL / 2)
    assert bench.look() == 0
    bench.clock.go(POLL / 2)
    assert bench.look() == 1
    for number in range(3):
        bench.append(f"{number}\n" * 5000)
        bench.go(POLL)
        assert len(bench.stored) == 1 + 5000 * (number + 1)


def test_how_far_it_was_read_is_kept_now_and_then_and_at_the_end(bench: Bench) -> None:
    bench.append("1\n")
    source = bench.begin()
    bench.look()
    # It is known again by its beginning from now on, though nothing of it was stored then.
    kept = json.loads(bench.record.read_text())
    assert (kept["offset"], kept["head_size"]) == (0, 2)
    bench.go(SAVE_EVERY - 3 * POLL)
    bench.append("2\n")
    bench.go(2 * POLL)
    assert bench.offset == 0
    bench.go(POLL)
    assert bench.offset == 4
    written = bench.record.stat().st_mtime_ns
    bench.go(5 * SAVE_EVERY)
    assert bench.record.stat().st_mtime_ns == written
    bench.append("3\n")
    bench.go(POLL)
    assert bench.offset == 4
    source.close()
    assert bench.offset == 6
    assert json.loads(bench.record.read_text())["path"] == str(bench.log)
    assert bench.record.stat().st_mode & 0o777 == 0o600


def test_a_position_that_cannot_be_kept_now_is_kept_later(bench: Bench) -> None:
    bench.append("1\n")
    bench.begin()
    bench.state.rename(bench.state.with_name("away"))
    bench.go(2 * SAVE_EVERY)
    assert bench.stored == [b"1"]
    bench.state.with_name("away").rename(bench.state)
    bench.go(SAVE_EVERY)
    assert bench.offset == 2


def test_only_what_is_stored_counts_as_read(bench: Bench) -> None:
    bench.append("1\n22\n\n333\n")
    bench.intake.is_held = True
    source = bench.begin()
    bench.look()
    waiting = {reading.payload: on_stored for reading, on_stored in bench.intake.waiting}
    offsets = []
    due = source.due
    for payload in (b"22", b"1", b"333"):
        reported = waiting[payload]
        assert reported
        reported(None)
        source._save()
        offsets.append(bench.offset)
        assert source.due == due
    # Behind the second one, an empty line is nothing to wait for.
    assert offsets == [0, 6, 10]


def test_a_file_that_is_not_there_is_a_problem_at_the_third_look(bench: Bench) -> None:
    bench.begin(start="end")
    for looks in range(1, MISSING + 2):
        bench.look()
        assert bool(bench.problem) is (looks >= MISSING)
        bench.clock.go(POLL)
    assert f"{bench.log} does not exist. Start the program that writes it" in bench.problem
    bench.append("1\n")
    bench.look()
    assert bench.problem == ""
    assert bench.stored == [b"1"]
    # Two looks between two files are no problem.
    bench.rotate()
    bench.go(2.5 * POLL)
    bench.append("2\n")
    bench.go(QUIET + 2 * POLL)
    assert bench.stored == [b"1", b"2"]
    assert bench.health.traffic.sources["x"]["last_error_time"] == "2027-01-15T08:00:03Z"


def test_a_file_that_may_not_be_read_is_a_problem_at_once(bench: Bench, tmp_path: Path) -> None:
    bench.log.symlink_to(bench.log)
    bench.begin()
    bench.look()
    assert f"cannot read {bench.log}: Too many levels of symbolic links." in bench.problem
    assert "See what is there" in bench.problem
    bench.log.unlink()
    bench.append("1\n")
    bench.go(POLL)
    assert bench.problem == ""
    own = tmp_path / "own"
    own.mkdir()
    linked = own / "linked"
    linked.write_text("secret\n")
    settings = FileSource(path=str(linked), name="x")
    bench.files.append(File(settings, bench.feed, own, Reserved([own])))
    bench.look()
    assert f"{linked} cannot be read: it is one of the agent's own files" in bench.problem
    assert "Check the link and who made it" in bench.problem
    assert b"secret" not in bench.stored


@pytest.mark.parametrize("start", ["beginning", "end"])
def test_where_it_begins_is_where_it_is_told_to_and_a_restart_goes_on(
    bench: Bench, start: str
) -> None:
    bench.append("1\n2\n")
    bench.begin(start=start)
    bench.look()
    bench.append("3\n")
    bench.go(POLL)
    assert bench.stored == ([b"1", b"2", b"3"] if start == "beginning" else [b"3"])
    bench.files[-1].close()
    bench.append("4\n")
    bench.begin(start=start)
    bench.look()
    assert bench.stored[-2:] == [b"3", b"4"]


def test_a_rotated_file_is_done_when_it_has_not_grown_for_a_while(bench: Bench) -> None:
    bench.append("1\n")
    bench.begin()
    bench.look()
    old = bench.rotate()
    bench.append("9\n")
    for number in (2, 3):
        bench.go(QUIET - 1)
        bench.append(f"{number}\n", old)
    bench.go(POLL)
    assert bench.stored == [b"1", b"2", b"3"]
    bench.go(QUIET - 1.5 * POLL)
    assert bench.stored == [b"1", b"2", b"3"]
    bench.go(2 * POLL)
    assert bench.stored == [b"1", b"2", b"3", b"9"]


def test_a_rotated_file_is_not_left_before_all_of_it_is_stored(bench: Bench) -> None:
    bench.append("1\n2")
    bench.begin()
    bench.look()
    bench.rotate()
    bench.append("3\n")
    bench.intake.is_held = True
    bench.go(10 * QUIET)
    assert bench.intake.payloads == [b"1", b"2"]
    bench.intake.commit()
    bench.intake.is_held = False
    bench.go(POLL)
    assert bench.stored == [b"1", b"2", b"3"]


def test_a_file_that_was_cut_with_no_copy_left_is_read_from_its_beginning(bench: Bench) -> None:
    bench.append("1\n2\n3\n")
    bench.begin()
    bench.look()
    bench.log.write_text("4\n")
    bench.go(POLL)
    assert bench.stored == [b"1", b"2", b"3", b"4"]
    # As long as before, and another one.
    bench.log.write_text("5\n")
    bench.go(POLL)
    bench.append("6\n")
    bench.go(POLL)
    assert bench.stored[4:] == [b"5", b"6"]
    assert bench.problem == ""


def test_a_file_that_is_cut_while_lines_of_it_wait_is_left_once_they_are_stored(
    bench: Bench,
) -> None:
    bench.append("1\n2\n")
    bench.intake.is_held = True
    bench.begin()
    bench.look()
    bench.log.write_text("3\n")
    bench.go(3 * POLL)
    assert bench.intake.payloads == [b"1", b"2"]
    bench.intake.is_held = False
    bench.intake.commit()
    bench.go(POLL)
    assert bench.stored == [b"1", b"2", b"3"]


def test_what_was_not_stored_is_handed_in_again_after_a_while(bench: Bench) -> None:
    bench.append("1\n2\n3\n")
    bench.intake.is_held = True
    source = bench.begin()
    bench.look()
    (_, first), (_, second), (_, third) = bench.intake.waiting
    bench.intake.waiting.clear()
    assert first
    assert second
    assert third
    first(None)
    second("the disk is full")
    third("the disk is full")
    assert source.due == bench.clock.passed + RETRY
    bench.intake.is_held = False
    bench.go(RETRY - 1)
    assert bench.stored == []
    bench.go(1)
    assert bench.stored == [b"2", b"3"]
    source.close()
    assert bench.offset == 6


def test_when_the_disk_took_enough_it_goes_on_at_once(bench: Bench) -> None:
    bench.append("1\n" * 501)
    bench.intake.is_held = True
    source = bench.begin()
    bench.look()
    assert len(bench.intake.readings) == 500
    bench.go(3 * POLL)
    assert len(bench.intake.readings) == 500
    bench.clock.go(POLL / 4)
    _, on_stored = bench.intake.waiting[0]
    assert on_stored
    on_stored(None)
    assert source.due == bench.clock.passed
    bench.look()
    assert len(bench.intake.readings) == 501


def test_no_more_than_a_megabyte_waits_for_the_disk(bench: Bench) -> None:
    line = "x" * 99_999
    for _ in range(30):
        bench.append(line + "\n")
    bench.intake.is_held = True
    bench.begin(format="text")
    bench.look()
    # What came before the bound, and the last that was read.
    assert 10 < len(bench.intake.readings) <= 13
    bench.intake.is_held = False
    bench.intake.commit()
    bench.look()
    assert bench.stored == [line.encode()] * 30


def test_what_was_stored_long_ago_does_not_count_as_waiting(bench: Bench) -> None:
    bench.append(("x" * 99_999 + "\n") * 8)
    bench.begin(format="text")
    bench.look()
    assert len(bench.stored) == 8
    bench.intake.is_held = True
    for count in (9, 10, 11):
        bench.append("1\n")
        bench.go(POLL)
        assert len(bench.intake.readings) == count


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_of_exactly_what_aws_takes_is_a_reading(bench: Bench, form: str, more: int) -> None:
    bench.append('1\n"' + "2" * (MAX_PAYLOAD - 2 + more) + '"\n3\n')
    bench.begin(format=form)
    bench.look()
    assert [len(each) for each in bench.stored] == ([1, MAX_PAYLOAD, 1] if not more else [1, 1])
    assert bool(bench.problem) is bool(more)


def test_a_line_longer_than_what_is_read_at_a_time_is_left_out_however_it_comes(
    bench: Bench,
) -> None:
    bench.begin(format="text")
    bench.append("1\n")
    for _ in range(20):
        bench.append("2" * 100_000)
        bench.look()
        bench.clock.go(POLL)
    bench.append("\n3\n")
    bench.look()
    assert bench.stored == [b"1", b"3"]
    assert f"1 line of {bench.log} skipped; the last has more than {MAX_PAYLOAD} bytes." in (
        bench.problem
    )
    assert "`format`" in bench.problem
    bench.append("4\n")
    bench.go(POLL)
    assert bench.problem == ""
    assert bench.stored[2:] == [b"4"]
    bench.append("x\ny\xff\n")
    bench.go(POLL)
    assert bench.stored[3:] == [b"x", "y\xff".encode()]


def test_lines_left_out_are_counted_together_with_why(bench: Bench) -> None:
    bench.append("x\n")
    bench.begin()
    bench.look()
    assert (
        f"1 line of {bench.log} skipped; the last is not a JSON value (Expecting" in bench.problem
    )
    with bench.log.open("ab") as file:
        file.write(b'\xff\n{"a":\r1}\n')
    bench.go(POLL)
    assert f"2 lines of {bench.log} skipped; the last is not a JSON value (not UTF-8)." in (
        bench.problem
    )
    assert bench.stored == [b'{"a": 1}']
    assert bench.intake.stored[0].content_type == "application/json"


def test_text_is_sent_as_it_is_but_for_the_ends_of_its_lines(bench: Bench) -> None:
    with bench.log.open("ab") as file:
        file.write(b"\xef\xbb\xbf a \r\n\r\n\xef\xbb\xbfb\r\r\n\xff\n")
    bench.begin(format="text")
    bench.look()
    assert bench.stored == [b" a ", b"\xef\xbb\xbfb\r"]
    assert {reading.content_type for reading in bench.intake.readings} == {
        "text/plain; charset=utf-8"
    }
    assert "1 line of" in bench.problem
    assert "the last is not UTF-8." in bench.problem


def test_the_files_it_had_open_are_closed(bench: Bench) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    bench.append("1\n")
    gc.collect()  # what earlier tests left
    before = opened()
    source = bench.begin()
    bench.look()
    assert opened() == before + 1
    for number in range(3):
        bench.rotate()
        bench.append(f"{number}\n")
        bench.go(QUIET + 2 * POLL)
        assert opened() == before + 1
    bench.log.write_text("")
    bench.go(2 * POLL)
    source.close()
    source.close()
    assert opened() == before
