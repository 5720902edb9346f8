"""Growing files, rotated in every way, with an agent that stops and is killed in between."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.config.readings import FileSource
from fleet_agent.telemetry.reading import MAX_PAYLOAD
from fleet_agent.telemetry.sources import file as files
from fleet_agent.telemetry.sources.file import File
from support.reserved import NOTHING_OWN
from support.sources import Bench


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "POLL", 0.01)
    monkeypatch.setattr(files, "QUIET", 0.1)
    monkeypatch.setattr(files, "RETRY", 0.02)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sensors.jsonl"


def begin(bench: Bench, log: Path, **options: Any) -> File:
    source = File(
        FileSource(path=str(log), name="sensors", **options),
        bench.feed("sensors"),
        bench.state_dir,
        NOTHING_OWN,
    )
    bench.sources = [source]
    return source


def append(log: Path, *lines: object, end: str = "\n") -> None:
    with log.open("a") as file:
        file.write("".join(f"{line}{end}" for line in lines))


def numbers(bench: Bench) -> list[int]:
    return [int(reading.payload) for reading in bench.intake.stored]


def look_around(bench: Bench) -> None:
    """Gives the source some looks."""
    until = bench.clock.monotonic() + 0.1
    bench.turn(lambda: bench.clock.monotonic() > until)


def kill(bench: Bench) -> None:
    """The agent ends without a word."""
    for source in bench.sources:
        assert isinstance(source, File)
        source._let_go()
    bench.sources = []


def test_a_line_is_a_reading(bench: Bench, log: Path) -> None:
    append(log, '{"a": 1.50}', "", "  [2]\r")
    begin(bench, log)
    assert bench.until(2) == [b'{"a": 1.50}', b"[2]"]
    append(log, "3")
    assert bench.until(3)[2] == b"3"
    assert bench.intake.readings[0].topic == "dt/pump-7/sensors"


def test_a_line_without_its_end_is_still_being_written(bench: Bench, log: Path) -> None:
    append(log, "1\n23", end="")
    begin(bench, log)
    bench.until(1)
    look_around(bench)
    append(log, "4\n", end="")
    assert bench.until(2) == [b"1", b"234"]


def test_text(bench: Bench, log: Path) -> None:
    log.write_bytes(b" 21 \xc2\xb0C\r\n\xff\n22\n")
    begin(bench, log, format="text")
    assert bench.until(2) == [" 21 °C".encode(), b"22"]
    assert "1 line of" in bench.problems()["source-failed sensors"]


def test_what_is_no_json_is_left_out_and_counted(bench: Bench, log: Path) -> None:
    append(log, "1", "x", "y", "2")
    begin(bench, log)
    assert bench.until(2) == [b"1", b"2"]
    assert bench.problems()["source-failed sensors"].startswith(
        f"Source sensors: 2 lines of {log} skipped; the last is not a JSON value"
    )
    append(log, "3")
    bench.turn(lambda: not bench.problems())


def test_a_line_too_long_is_left_out(bench: Bench, log: Path) -> None:
    append(log, "1", "9" * (MAX_PAYLOAD + 1), "2", f'"{"x" * 600_000}"', "3")
    begin(bench, log)
    assert bench.until(3) == [b"1", b"2", b"3"]
    assert "has more than 131072 bytes" in bench.problems()["source-failed sensors"]


def test_a_missing_file_is_a_problem_that_heals(bench: Bench, log: Path) -> None:
    begin(bench, log, start="end")
    bench.turn(bench.problems)
    assert bench.problems()["source-failed sensors"] == f"Source sensors: {log} does not exist."
    append(log, "1")  # it was not there at the first look: all of it is new
    assert bench.until(1) == [b"1"]
    bench.turn(lambda: not bench.problems())


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_a_problem(bench: Bench, log: Path, make: Any) -> None:
    make(log)
    begin(bench, log)
    bench.turn(bench.problems)
    assert "it is not a regular file" in bench.problems()["source-failed sensors"]


def test_from_the_end(bench: Bench, log: Path) -> None:
    append(log, "1", "2")
    begin(bench, log, start="end")
    look_around(bench)
    kill(bench)
    append(log, "3")
    begin(bench, log, start="end")
    assert bench.until(1) == [b"3"]


def test_it_goes_on_where_it_stopped(bench: Bench, log: Path) -> None:
    append(log, "1", "2")
    begin(bench, log).act()
    bench.intake.commit()
    bench.close()
    append(log, "3")
    begin(bench, log)
    assert bench.until(3) == [b"1", b"2", b"3"]


def test_what_was_not_durable_is_read_again_after_a_kill(bench: Bench, log: Path) -> None:
    append(log, "1", "2")
    begin(bench, log)
    bench.turn(lambda: len(bench.intake.stored) == 2)
    bench.sources[0].close()
    bench.intake.is_held = True
    append(log, "3", "4")
    begin(bench, log)
    bench.until(4)
    look_around(bench)
    kill(bench)
    bench.intake.waiting.clear()
    bench.intake.is_held = False
    begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1, 2, 3, 4])


def test_what_could_not_be_stored_is_handed_in_again_in_order(bench: Bench, log: Path) -> None:
    bench.intake.is_held = True
    append(log, *range(10))
    begin(bench, log)
    bench.until(10)
    bench.intake.commit("the disk is full")
    bench.until(20)
    bench.intake.is_held = False
    bench.turn(lambda: numbers(bench) == list(range(10)))


def test_no_more_is_read_than_the_disk_takes(bench: Bench, log: Path) -> None:
    append(log, *range(2000))
    bench.intake.is_held = True
    begin(bench, log)
    bench.until(500)
    look_around(bench)
    assert len(bench.intake.readings) == 500
    bench.intake.is_held = False
    bench.turn(lambda: numbers(bench) == list(range(2000)))


def test_the_position_is_not_written_for_each_line(
    bench: Bench, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SAVE_EVERY", 3600.0)
    append(log, "0")
    source = begin(bench, log)
    bench.until(1)
    record = source._record.stat().st_mtime_ns
    for number in range(1, 20):
        append(log, number)
        bench.until(number + 1)
    assert source._record.stat().st_mtime_ns == record


def rename(log: Path) -> None:
    """As logrotate does by default; an older one moves on."""
    for number in (2, 1):
        old = log.with_name(f"{log.name}.{number}")
        if old.exists():
            old.rename(log.with_name(f"{log.name}.{number + 1}"))
    log.rename(log.with_name(f"{log.name}.1"))


def copy_and_cut(log: Path) -> None:
    """As logrotate does with copytruncate."""
    for number in (2, 1):
        old = log.with_name(f"{log.name}.{number}")
        if old.exists():
            old.rename(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copy(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def test_a_file_that_is_written_anew_all_the_time_is_logged_once_a_minute(
    bench: Bench, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=files.__name__)
    append(log, "1000")
    begin(bench, log)
    bench.until(1)
    for number in range(1, 4):
        log.write_text(f"{number}\n")
        bench.until(number + 1)
        log.write_text("")
        look_around(bench)
    assert caplog.text.count("was truncated") == 1


@pytest.mark.parametrize("rotate", [rename, copy_and_cut])
@pytest.mark.parametrize("is_running", [True, False])
def test_rotation_loses_nothing(bench: Bench, log: Path, rotate: Any, is_running: bool) -> None:
    append(log, "1", "2")
    begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1, 2])
    if not is_running:
        bench.sources[0].close()
    append(log, "3")
    rotate(log)
    append(log, "4", "5")
    if not is_running:
        begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1, 2, 3, 4, 5])
    append(log, "6")
    bench.turn(lambda: numbers(bench) == [1, 2, 3, 4, 5, 6])
    assert bench.problems() == {}


def test_two_rotations_while_the_agent_was_away(bench: Bench, log: Path) -> None:
    append(log, "1", "2")
    begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1, 2])
    bench.close()
    append(log, "3")
    os.utime(log, ns=(1, 10**18))
    rename(log)
    append(log, "4")
    os.utime(log, ns=(1, 10**18 + 10**9))
    rename(log)
    append(log, "5")
    begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1, 2, 3, 4, 5])


def test_one_that_was_empty_grew_and_was_cut_while_the_agent_was_away(
    bench: Bench, log: Path
) -> None:
    log.touch()
    begin(bench, log)
    look_around(bench)
    bench.close()
    append(log, "1", "2")
    copy_and_cut(log)
    append(log, "3")
    begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1, 2, 3])


def test_who_writes_to_the_old_one_a_while_longer_is_heard(bench: Bench, log: Path) -> None:
    append(log, "1")
    writer = log.open("a", buffering=1)
    begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1])
    rename(log)
    append(log, "3")
    writer.write("2\n")
    bench.turn(lambda: numbers(bench) == [1, 2, 3])
    writer.close()


def test_the_last_line_of_a_rotated_file_may_lack_its_end(bench: Bench, log: Path) -> None:
    append(log, "1\n2", end="")
    begin(bench, log)
    bench.until(1)
    rename(log)
    append(log, "3")
    bench.turn(lambda: numbers(bench) == [1, 2, 3])


def test_another_file_in_its_place_is_read_from_its_beginning(bench: Bench, log: Path) -> None:
    append(log, "1", "2")
    begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1, 2])
    bench.close()
    log.write_text("3\n4\n5\n")
    begin(bench, log)
    bench.turn(lambda: numbers(bench) == [1, 2, 3, 4, 5])


STEPS = some.lists(
    some.sampled_from(["append", "append", "rename", "copy", "stop", "kill", "look", "hold"]),
    min_size=5,
    max_size=30,
)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_nothing_is_lost_whatever_happens(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    bench, log = Bench(folder), folder / "x.log"
    log.touch()
    begin(bench, log)
    count = 0
    for step in [*steps, "append"]:
        if step == "append":
            append(log, *range(count, count + 3))
            count += 3
        elif step == "stop":
            bench.sources[0].close()
            bench.intake.waiting.clear()
            begin(bench, log)
        elif step == "kill":
            kill(bench)
            bench.intake.waiting.clear()
            begin(bench, log)
        elif step == "hold":
            bench.intake.is_held = not bench.intake.is_held
        elif step == "look":
            bench.sources[0].act()
        else:
            # Every file is seen before it is rotated again; what is gone within a second nobody promises.
            bench.intake.is_held = False
            bench.turn(lambda: set(numbers(bench)) == set(range(count)))  # noqa: B023 - called now
            (rename if step == "rename" else copy_and_cut)(log)
            if step == "rename":
                log.touch()
    bench.intake.is_held = False
    bench.turn(lambda: set(numbers(bench)) == set(range(count)))
    bench.close()


@pytest.mark.parametrize("kind", ["json", "text"])
def test_a_mark_that_editors_put_before_the_first_line_is_none_of_it(
    bench: Bench, log: Path, kind: str
) -> None:
    log.write_bytes(b"\xef\xbb\xbf1\r\n2\r\n")
    begin(bench, log, format=kind)
    assert bench.until(2) == [b"1", b"2"]
