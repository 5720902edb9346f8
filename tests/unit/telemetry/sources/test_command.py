"""Programs as sources."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.readings import CommandSource
from fleet_agent.telemetry.sources.command import Command
from support.sources import Bench


def begin(bench: Bench, *argv: str, **options: Any) -> Command:
    settings = CommandSource(argv=argv, name="meter", **{"interval": 0.05, **options})
    source = Command(settings, bench.feed("meter"), bench.mailbox)
    bench.sources = [source]
    return source


def test_a_reading_an_interval(bench: Bench) -> None:
    begin(bench, "echo", '{"kwh": 1.50,\n "ok": true}')
    assert bench.until(3)[:3] == [b'{"kwh": 1.50,  "ok": true}'] * 3
    reading = bench.intake.readings[0]
    assert (reading.topic, reading.content_type) == ("dt/pump-7/meter", "application/json")


def test_text_is_sent_as_it_is(bench: Bench) -> None:
    begin(bench, "printf", " 21.5 °C X\\n\\n", format="text")
    assert bench.until(2) == [" 21.5 °C X".encode()] * 2
    assert bench.intake.readings[0].content_type.startswith("text/plain")
    assert bench.problems() == {}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("echo", "no json"), "echo does not print one JSON value (Expecting value"),
        (("echo", "NaN"), "NaN is not JSON"),
        (("printf", "\\377"), "not UTF-8"),
        (("sh", "-c", "echo no meter >&2; exit 3"), "sh ended with exit status 3: no meter."),
        (("/nowhere/read",), "/nowhere/read cannot be started: No such file or directory."),
        (("yes",), "yes prints more than 131072 bytes."),
    ],
)
def test_what_goes_wrong_is_a_problem(bench: Bench, argv: tuple[str, ...], words: str) -> None:
    begin(bench, *argv)
    bench.turn(bench.problems)
    assert words in bench.problems()["source-failed meter"]
    assert not bench.intake.readings


def test_the_problem_heals(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "read"
    begin(bench, str(script))
    bench.turn(bench.problems)
    script.write_text("#!/bin/sh\necho 1\n")
    script.chmod(0o755)
    bench.until(1)
    assert bench.problems() == {}


def test_one_that_takes_too_long_is_ended_and_tried_again(bench: Bench) -> None:
    begin(bench, "sleep", "600", timeout=0.1)
    bench.turn(bench.problems)
    assert bench.problems()["source-failed meter"].endswith("sleep did not end within 0.1 s.")


def test_how_to_run_it_by_hand_can_be_pasted(bench: Bench) -> None:
    begin(bench, "sh", "-c", "exit 3")
    bench.turn(bench.problems)
    (problem,) = bench.health.problems
    assert problem.remedy.endswith("sudo -u _fleet-agent sh -c 'exit 3'")


def test_it_reads_nothing_and_has_a_clean_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "1")
    begin(bench, "sh", "-c", "cat; env | grep SECRET; echo end", format="text")
    assert bench.until(1)[0] == b"end"


def test_the_next_run_is_an_interval_after_the_last_began(bench: Bench) -> None:
    began = bench.clock.monotonic()
    source = begin(bench, "echo", "1", interval=3600)
    assert source.due <= bench.clock.monotonic()
    bench.until(1)
    assert began + 3600 <= source.due <= bench.clock.monotonic() + 3600


def test_nothing_to_say_is_neither_a_reading_nor_a_problem(bench: Bench, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    begin(bench, "sh", "-c", f"echo x >> {runs}")
    bench.turn(lambda: runs.exists() and len(runs.read_text()) >= 6)
    assert not bench.intake.readings
    assert json.loads((bench.runtime_dir / "status.json").read_text())["problems"] == []


def test_it_never_runs_twice_at_a_time_and_ends_with_the_agent(
    bench: Bench, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    source = begin(bench, "sh", "-c", f"echo x >> {runs}; sleep 600", interval=0.01, timeout=600)
    bench.turn(runs.exists)
    source.close()
    assert runs.read_text() == "x\n"
