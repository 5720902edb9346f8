"""``--fix`` puts modes and owners right, and touches nothing that a link leads to."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fleet_agent.doctor.finding import Finding, Fix, Level, Subject
from fleet_agent.doctor.fix import fix
from support.seeded import Bench
from support.users import NOBODY


def test_what_was_wrong_is_fixed_and_stays_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root")
    key = bench.current / "private.pem.key"
    for path, mode in ((key, 0o644), (bench.state_dir, 0o777), (bench.claim.private_key, 0o666)):
        path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(bench.state_dir / "ledger.jsonl", NOBODY, NOBODY)
    found = bench.examine(fixes=True)
    fixed = {each.code for each in found if each.level is Level.FIXED}
    assert fixed >= {"key-readable", "state-mode", "claim-readable"}
    assert not [each for each in found if each.level is Level.FAILED]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.state_dir.stat().st_mode) == 0o700
    assert (bench.state_dir / "ledger.jsonl").stat().st_uid == os.geteuid()
    assert not [each for each in bench.examine() if each.level not in (Level.OK, Level.NOTE)]


def test_what_is_not_the_agents_is_left_as_it_is(tmp_path: Path) -> None:
    """A state directory that the configuration got wrong: `/`, or a place that others use as well."""
    bench = Bench(tmp_path / "root")
    photo = bench.write("var/lib/fleet-agent/photos/1.jpg", "")
    photo.chmod(0o666)
    key = bench.current / "private.pem.key"
    for path, mode in ((key, 0o644), (bench.state_dir, 0o755), (photo.parent, 0o777)):
        path.chmod(mode)
    found = bench.examine(fixes=True)
    assert {each.code for each in found if each.level is Level.FIXED} == {"key-readable"}
    assert {each.code for each in found if each.level is Level.FAILED} == {"state-shared"}
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (bench.state_dir, photo.parent, photo)]
    assert modes == [0o755, 0o777, 0o666]


def test_a_folder_named_as_a_secret_is_left_as_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    bench.save(claim={"certificate": str(shared), "private_key": str(shared)})
    bench.examine(fixes=True)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can judge for another user")
def test_a_folder_and_what_is_in_it_are_opened_for_the_agent_at_once() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        bench = Bench(Path(place) / "root")
        os.chown(bench.state_dir, NOBODY, NOBODY)
        (bench.home / "claim").chmod(0o700)
        fixed = {each.where for each in bench.examine(fixes=True) if each.level is Level.FIXED}
        assert {str(bench.home / "claim"), str(bench.claim.private_key)} <= fixed
        again = [each for each in bench.examine(fixes=True) if each.check == "owners and modes"]
        assert [each.level for each in again] == [Level.OK]


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can judge for another user")
def test_a_folder_elsewhere_is_not_opened_for_the_agent() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:  # below tmp_path nobody may pass
        Path(place).chmod(0o755)
        bench = Bench(Path(place) / "root")
        os.chown(bench.state_dir, NOBODY, NOBODY)
        home = Path(place) / "home"
        shutil.copytree(bench.home / "claim", home / "claim")
        names = {
            "certificate": home / "claim/certificate.pem",
            "private_key": home / "claim/key.pem",
        }
        bench.save(claim={key: str(path) for key, path in names.items()})
        home.chmod(0o700)
        found = [
            each for each in bench.examine(fixes=True) if each.code == "not-readable-by-agent"
        ]
        assert {each.where for each in found} == {str(home)}
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone is led astray by others")
def test_a_state_directory_by_another_users_link_is_left_as_it_is() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        bench = Bench(Path(place) / "root")
        victim = Path(place) / "victim"
        (victim / "lock").mkdir(parents=True)
        (victim / "lock").chmod(0o1777)
        theirs = Path(place) / "theirs"
        theirs.mkdir()
        (theirs / "state").symlink_to(victim)
        for path in (theirs, theirs / "state"):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        bench.save(state_dir=str(theirs / "state"))
        found = bench.examine(fixes=True)
        assert "state-link" in {each.code for each in found}
        assert not [each for each in found if each.level is Level.FIXED]
        assert stat.S_IMODE((victim / "lock").stat().st_mode) == 0o1777


@pytest.mark.parametrize("name", ["link", "folder/victim", "hard"])
def test_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "elsewhere" / "victim"
    victim.parent.mkdir()
    victim.write_text("")
    victim.chmod(0o640)
    base = tmp_path / "state"
    base.mkdir()
    (base / "link").symlink_to(victim)
    (base / "folder").symlink_to(victim.parent)
    (base / "hard").hardlink_to(victim)
    (found,) = fix([_found(Fix(base=base, name=name, mode=0o666))])
    assert found.level is Level.FAILED
    assert "--fix could not" in found.title
    assert stat.S_IMODE(victim.stat().st_mode) == 0o640


def test_a_mode_that_did_not_take_is_not_called_fixed(tmp_path: Path) -> None:
    (tmp_path / "key").touch(mode=0o644)
    # As exFAT does it: the kernel takes the mode, and forgets it.
    kernel = ("strace", "-f", "-qq", "-o", "/dev/null", "--inject=chmod,fchmodat:retval=0")
    done = subprocess.run(
        [*kernel, sys.executable, "-c", FIX, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    level, title = done.stdout.splitlines()
    assert level == Level.FAILED.value
    assert "does not keep modes" in title


FIX = """
import sys
from pathlib import Path
from fleet_agent.doctor.finding import Fix, Subject
from fleet_agent.doctor.fix import fix
wanted = Fix(base=Path(sys.argv[1]), name="key", mode=0o600)
(found,) = fix([Subject("a test").failed("code", "Wrong.", "", "Fix it.", wanted)])
print(found.level.value, found.title, sep="\\n")
"""


def _found(wanted: Fix) -> Finding:
    return Subject("a test").failed("code", "Wrong.", "", "Fix it.", wanted)
