"""Asked by a user who may not look: that comes first, and nothing is called wrong that he cannot see."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent import cli
from fleet_agent.doctor.finding import Level
from support.seeded import Bench
from support.users import as_nobody

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be another user")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:  # below tmp_path nobody may pass
        Path(place).chmod(0o755)
        yield Bench(Path(place) / "root")


def test_the_state_directory_is_anothers(bench: Bench) -> None:
    bench.home.chmod(0o755)
    (bench.home / "claim").chmod(0o700)
    bench.examine()  # what is imported for it may lie where nobody else may read
    with as_nobody():
        found = bench.examine()
    failed = [each for each in found if each.level is Level.FAILED]
    assert [each.code for each in failed] == ["state-owner"]
    assert "belongs to another user" in failed[0].title
    assert "sudo fleet-agent doctor" in failed[0].remedy
    assert not [each for each in found if each.level is Level.WARNING]


@pytest.mark.parametrize("words", [["reset"], ["reset", "--yes"], ["doctor"], ["status"]])
def test_a_place_that_he_may_not_pass_to(
    bench: Bench, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([words[0], "--config", str(bench.config)])
    bench.state_dir.parent.chmod(0o700)
    capsys.readouterr()
    with as_nobody():
        status = cli.main([*words, "--config", str(bench.config)])
    said = "".join(capsys.readouterr())
    assert status in (1, 73, 78)
    assert "Traceback" not in said
    assert "sudo" in said


def test_a_configuration_that_he_may_not_read(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["status", "--config", str(bench.config)])
    bench.config.chmod(0o600)
    with as_nobody():
        status = cli.main(["status", "--config", str(bench.config)])
    assert status == 78
    said = capsys.readouterr().err
    assert "cannot be read by this user" in said
    assert "Run the same command as root, with sudo" in said
    assert "Correct it" not in said
