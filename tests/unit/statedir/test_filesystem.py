"""File systems that forget, or lack what an identity needs (refused by strace): named before AWS is asked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_agent.errors import StateDirectoryError
from fleet_agent.statedir import filesystem
from support.agent import Agent
from support.fleets import Fleet

TRY = """
import json, sys
from pathlib import Path
from fleet_agent.statedir import filesystem
from fleet_agent.statedir.lock import take_lock
from fleet_agent.errors import StateDirectoryError
try:
    take_lock(Path(sys.argv[1]))
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
        ("symlink,symlinkat:error=EPERM", "state-eperm", "does not support symbolic links"),
        ("symlink,symlinkat:error=ENOSYS", "state-enosys", "does not support symbolic links"),
        ("fchmod:error=EPERM", "state-no-modes", "cannot set modes"),
        ("fcntl:error=ENOLCK", "state-no-locks", "does not support locks"),
        ("flock:error=ENOLCK", "state-no-locks", "does not support locks"),
        ("fsync:error=EINVAL:when=2+", "state-einval", "cannot sync folders"),
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
    assert f"({filesystem.kind_of(tmp_path)}) cannot set modes" in title
    assert "state_dir" in remedy


def test_a_mode_that_did_not_take(tmp_path: Path) -> None:
    trial = tmp_path / ".trial"
    trial.touch(mode=0o644)
    found, title, _ = refused(tmp_path, "fchmod:retval=0")
    assert found == "state-no-modes"
    assert "does not keep modes" in title


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


# Volatile places ------------------------------------------------------------------------------------------------------

ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"


def mount(point: str, kind: str, options: str = "rw") -> str:
    return f"30 22 0:30 / {point} rw - {kind} none {options}\n"


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs", "rootfs"])
def test_a_place_in_memory(kind: str) -> None:
    with pytest.raises(StateDirectoryError, match=f"in memory \\({kind}\\)") as caught:
        filesystem.refuse_volatile(Path("/x/state"), ROOT + mount("/x", kind))
    assert caught.value.code == "state-volatile"
    assert "--allow-volatile" in caught.value.remedy


@pytest.mark.parametrize(
    "mounts",
    [
        ROOT,
        ROOT + mount("/y", "tmpfs"),
        ROOT + mount("/x/state2", "tmpfs"),
        ROOT + mount("/x", "tmpfs") + mount("/x/state", "ext4"),
        ROOT + mount("/x", "tmpfs") + mount("/x", "ext4"),
        "",
        "nonsense\n30 22 - x\n" + ROOT,
        ROOT + mount("/media/日本\\040€", "vfat") + mount("/mnt/\udcff", "vfat"),
    ],
    ids=[
        "a disk",
        "memory elsewhere",
        "a neighbour of that name",
        "a disk below memory",
        "a disk over memory",
        "nothing known",
        "lines nobody knows",
        "mount points of any letters",
    ],
)
def test_a_place_that_stays(mounts: str) -> None:
    assert filesystem.refuse_volatile(Path("/x/state"), mounts) is None


def test_memory_over_a_disk_at_the_same_place() -> None:
    with pytest.raises(StateDirectoryError):
        filesystem.refuse_volatile(
            Path("/x/state"), ROOT + mount("/x", "ext4") + mount("/x", "tmpfs")
        )


def test_a_mount_point_with_a_space() -> None:
    with pytest.raises(StateDirectoryError):
        filesystem.refuse_volatile(Path("/a b/state"), ROOT + mount("/a\\040b", "tmpfs"))


def test_an_overlay_whose_upper_side_is_in_memory(tmp_path: Path) -> None:
    """What a read-only root of an embedded image does with /var/lib."""
    upper = tmp_path / "upper side"
    upper.mkdir()
    options = f"rw,lowerdir=/lower,upperdir={str(upper).replace(' ', chr(92) + '040')},workdir=/w"
    mounts = ROOT + mount("/x", "overlay", options)
    assert filesystem.refuse_volatile(Path("/x/state"), mounts) is None
    with pytest.raises(StateDirectoryError):
        filesystem.refuse_volatile(Path("/x/state"), mounts + mount(str(tmp_path), "tmpfs"))


@pytest.mark.parametrize("options", ["rw,lowerdir=/l", "rw,upperdir=/nowhere/to/be/seen"])
def test_an_overlay_that_cannot_be_judged(options: str) -> None:
    said = filesystem.refuse_volatile(Path("/x/state"), ROOT + mount("/x", "overlay", options))
    assert said is not None
    assert "/x/state" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be somebody else")
def test_an_overlay_whose_upper_side_is_roots_own(tmp_path: Path) -> None:
    """What the agent's user may not look into, the table of mounts tells all the same."""
    (tmp_path / "closed" / "upper").mkdir(parents=True)
    tmp_path.chmod(0o755)
    (tmp_path / "closed").chmod(0o700)
    upper = tmp_path / "closed" / "upper"
    mounts = ROOT + mount("/x", "overlay", f"rw,upperdir={upper}")
    os.seteuid(65534)
    try:
        assert filesystem.refuse_volatile(Path("/x/state"), mounts) is None
        with pytest.raises(StateDirectoryError):
            filesystem.refuse_volatile(Path("/x/state"), mounts + mount(str(tmp_path), "tmpfs"))
    finally:
        os.seteuid(0)


def test_this_machines_own_mounts_can_be_read(tmp_path: Path) -> None:
    try:
        filesystem.refuse_volatile(tmp_path)
    except StateDirectoryError as error:
        assert error.code == "state-volatile"  # noqa: PT017 - where tests run in memory


def test_a_doubtful_overlay_is_refused_only_where_an_identity_would_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "BOOTED", tmp_path)
    with pytest.raises(StateDirectoryError, match="reboot") as caught:
        filesystem.refuse_doubtful(tmp_path, "does it survive a reboot?")
    assert caught.value.code == filesystem.VOLATILE
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "current").symlink_to("0001")
    filesystem.refuse_doubtful(tmp_path, "does it survive a reboot?")
    (tmp_path / "credentials" / "current").unlink()
    monkeypatch.setattr(filesystem, "BOOTED", tmp_path / "no systemd")
    filesystem.refuse_doubtful(tmp_path, "does it survive a reboot?")
