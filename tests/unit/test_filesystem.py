"""File systems that lack what an identity needs, refused by strace: named before AWS is asked for anything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_agent import filesystem, statedir
from fleet_agent.errors import StateDirectoryError
from support.agent import Agent
from support.fleets import Fleet

TRY = """
import json, sys
from pathlib import Path
from fleet_agent import filesystem, statedir
from fleet_agent.errors import StateDirectoryError
try:
    statedir.take_lock(Path(sys.argv[1]))
    filesystem.try_out(Path(sys.argv[1]))
except StateDirectoryError as error:
    print(json.dumps([error.code, error.title, error.remedy]))
"""


def refused(state_dir: Path, *injections: str) -> list[str]:
    """What is said when the kernel answers some calls otherwise."""
    options = [f"--inject={injection}" for injection in injections]
    # Only what concerns the state directory: the interpreter's own calls are left alone.
    paths = ["-P", str(state_dir / ".trial"), "-P", str(state_dir / "lock"), "-P", str(state_dir)]
    paths += ["-P", str(state_dir / "..trial-link.tmp")]
    paths += ["-P", str(state_dir / "..trial.tmp")]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", *paths, *options]
    done = subprocess.run(
        [*command, sys.executable, "-c", TRY, str(state_dir)],
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert isinstance(said, list)
    return said


@pytest.mark.parametrize(
    ("injection", "code", "words"),
    [
        ("symlink,symlinkat:error=EPERM", "state-eperm", "has no symbolic links"),
        ("symlink,symlinkat:error=ENOSYS", "state-enosys", "has no symbolic links"),
        ("fchmod:error=EPERM", "state-no-modes", "sets no modes"),
        ("fcntl:error=ENOLCK", "state-no-locks", "has no locks"),
        ("flock:error=ENOLCK", "state-no-locks", "has no locks"),
        ("fsync:error=EINVAL:when=2+", "state-einval", "syncs no folder"),
    ],
)
def test_what_lacks_is_named_with_the_file_system(
    tmp_path: Path, injection: str, code: str, words: str
) -> None:
    found, title, remedy = refused(tmp_path, injection)
    assert found == code
    assert words in title
    assert f"{tmp_path} ({filesystem.kind_of(tmp_path)})" in title
    assert "state_dir" in remedy
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}


def test_modes_that_not_even_the_new_folder_takes(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    found, title, remedy = refused(state_dir, "chmod,fchmodat,fchmod:error=EPERM")
    assert found == "state-no-modes"
    assert f"({filesystem.kind_of(tmp_path)}) sets no modes" in title
    assert "state_dir" in remedy


def test_a_mode_that_did_not_take(tmp_path: Path) -> None:
    trial = tmp_path / ".trial"
    trial.touch(mode=0o644)
    found, title, _ = refused(tmp_path, "fchmod:retval=0")
    assert found == "state-no-modes"
    assert "keeps no modes" in title


def test_a_full_disk_is_no_lack(tmp_path: Path) -> None:
    found, title, remedy = refused(tmp_path, "write:error=ENOSPC")
    assert found == "state-enospc"
    assert "No space left" in title
    assert "df -h" in remedy


def test_a_whole_one_keeps_nothing_of_the_trial(tmp_path: Path) -> None:
    (tmp_path / ".trial").write_text("left by a power cut")
    (tmp_path / ".trial-link").symlink_to("x")
    filesystem.try_out(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_certificate_is_asked_for(fleet: Fleet, tmp_path: Path) -> None:
    agent = Agent(fleet, tmp_path)

    done = agent.provision(
        under=("strace", "-f", "-qq", "-o", "/dev/null", "--inject=symlink,symlinkat:error=EPERM")
    )
    assert (done.status, done.error["code"]) == (73, "state-eperm")
    assert agent.ledger() == {}
    assert not list(agent.credentials.glob("*"))


def test_a_doubtful_overlay_is_refused_only_where_an_identity_would_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statedir, "_BOOTED", tmp_path)
    with pytest.raises(StateDirectoryError, match="persistent") as caught:
        statedir.refuse_doubtful(tmp_path, "is it persistent?")
    assert caught.value.code == statedir.VOLATILE
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "current").symlink_to("0001")
    statedir.refuse_doubtful(tmp_path, "is it persistent?")
    (tmp_path / "credentials" / "current").unlink()
    monkeypatch.setattr(statedir, "_BOOTED", tmp_path / "no systemd")
    statedir.refuse_doubtful(tmp_path, "is it persistent?")
