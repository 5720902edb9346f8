"""The manual pages and completion scripts say what the code says, and are well-formed."""

import shutil
import subprocess

import pytest

import manpages
import reference
from fleet_agent.cli.parser import VERBS
from fleet_agent.errors import Exit

MAN = reference.ROOT / "packaging/man"
NAMES = ("fleet-agent.1", "fleet-agent.yaml.5", "fleet-cloud.1")


def test_the_made_files_are_current() -> None:
    pytest.importorskip("shtab")
    stale = [path.name for path, make in reference.made() if path.read_text() != make()]
    assert not stale, "run: PYTHONPATH=scripts python scripts/reference.py"


def test_the_manual_tells_of_each_command_and_exit_status() -> None:
    text = (MAN / "fleet-agent.1").read_text()
    for verb in VERBS:
        assert f"\n.SS {verb}\n" in text
    assert set(manpages.EXIT) == set(Exit)


@pytest.mark.parametrize("name", NAMES)
def test_groff_has_nothing_to_warn_of(name: str) -> None:
    if not shutil.which("groff"):
        pytest.skip("no groff here")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-K", "utf8", "-rLL=80n", str(MAN / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_text_that_roff_would_take_for_its_own_is_escaped() -> None:
    assert manpages.escape(".TH a\\b --x\n'y") == "\\&.TH a\\eb \\-\\-x\n\\&'y"


def test_pages_name_no_date() -> None:
    for name in NAMES:
        assert ' "" ' in (MAN / name).read_text().splitlines()[1]
