"""The main commands with version 2 of the AWS CLI, on machines that have it; all other tests run version 1."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.companion import FleetCloud, answer

Run = Callable[..., Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def version_two() -> Path | None:
    """Finds an ``aws`` of version 2 on PATH."""
    for folder in os.environ["PATH"].split(os.pathsep):
        program = Path(folder) / "aws"
        if not program.is_file():
            continue
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        if done.stdout.startswith("aws-cli/2."):
            return program
    return None


@pytest.fixture
def run(fleet_cloud: FleetCloud, tmp_path: Path) -> Run:
    """Runs a command with that ``aws``; skips where there is none."""
    program = version_two()
    if program is None:
        pytest.skip("no aws of version 2 is on PATH")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "aws").symlink_to(program)
    path = {"PATH": f"{folder}:{os.environ['PATH']}", "FLEET_CLOUD_WITH": "aws"}

    def with_version_two(*words: str | Path) -> Any:
        return answer(fleet_cloud(*words, "--name", "two", "--json", credentials=path))

    return with_version_two


def test_rule_is_made_kept_and_taken_away(run: Run) -> None:
    rule = ("rule", "up", "--topic", "dt/+/x", "--sns", "two")
    assert run(*rule)["changed"] is True
    assert run(*rule)["changed"] is False
    assert len(run("rule", "down", "--yes")["deleted"]) == 3


@pytest.mark.thorough
def test_fleet_and_bulk_are_made_and_taken_away(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    run("up", "--hook-pattern", "T-.*")
    assert run("up")["changed"] is False
    assert run("claim", "temporary", "--out", tmp_path / "claim")["ends"].endswith(" UTC")
    out = tmp_path / "bulk"
    assert run("bulk", "--count", "2", "--out", out)["made"] == 2
    assert run("check", "--all", "--out", out, "--ca-file", sandbox.ca_file)["failed"] == {}
    assert run("bulk", "reset", "--out", out, "--yes")["left"] == []
    assert run("down", "--yes")["left"] == {}
