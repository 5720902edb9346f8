"""Which files root's folder of programs may hold, and what their profiles come to."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent_helper.programs import STRICT, find
from fleet_agent_helper.requests import RefusedError
from fleet_agent_helper.units import command
from support.users import NOBODY

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a program is root's")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Root's folder with one good program."""
    made = tmp_path / "helpers.d"
    made.mkdir()
    program = made / "show"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return made


def test_without_a_profile_it_may_next_to_nothing(folder: Path) -> None:
    found = find(folder, "show")
    assert (found.path, found.properties, found.reboots) == (folder / "show", STRICT, False)


def test_a_profile_says_what_it_may(folder: Path) -> None:
    profile = folder / "show.profile"
    profile.write_text("# why\n\nX-Reboots=yes\nPrivateTmp=yes\nEnvironment=A=b c\n")
    found = find(folder, "show")
    assert (found.properties, found.reboots) == (("PrivateTmp=yes", "Environment=A=b c"), True)
    words = command(found, ["$a", "--", "-x"], "u.service", 7)
    assert words[0] == "systemd-run"
    assert words[words.index("--") :] == ["--", str(folder / "show"), "$$a", "--", "-x"]
    # What bounds it comes last, so a profile cannot lift it.
    assert words.index("--property=RuntimeMaxSec=7") > words.index("--property=PrivateTmp=yes")


def test_what_reads_its_arguments_has_none_in_a_command_line(folder: Path) -> None:
    (folder / "show.profile").write_text("X-Arguments=stdin\nPrivateTmp=yes\n")
    found = find(folder, "show")
    assert (found.properties, found.reads) == (("PrivateTmp=yes",), True)
    words = command(found, ["https://x.example/f?X-Amz-Signature=1"], "u.service", 7)
    assert words[-2:] == ["--", str(folder / "show")]


def _replaced(folder: Path, make: Callable[[Path], None]) -> None:
    (folder / "show").unlink()
    make(folder / "show")


def _given_away(folder: Path) -> None:
    folder.chmod(0o1755)
    os.chown(folder, NOBODY, 0)


TRICKS: dict[str, Callable[[Path], object]] = {
    "missing": lambda folder: (folder / "show").unlink(),
    "somebody else's": lambda folder: os.chown(folder / "show", NOBODY, 0),
    "its group may write": lambda folder: (folder / "show").chmod(0o775),
    "others may write": lambda folder: (folder / "show").chmod(0o757),
    "not executable": lambda folder: (folder / "show").chmod(0o644),
    "a link": lambda folder: _replaced(folder, lambda path: path.symlink_to("/bin/true")),
    "a folder": lambda folder: _replaced(folder, Path.mkdir),
    "a pipe": lambda folder: _replaced(folder, lambda path: os.mkfifo(path, 0o755)),
    "the folder is somebody else's": lambda folder: os.chown(folder, NOBODY, 0),
    "others may write the folder": lambda folder: folder.chmod(0o777),
    "the folder above is somebody else's": lambda folder: os.chown(folder.parent, NOBODY, 0),
    "the folder is sticky, and anybody links there": lambda folder: folder.chmod(0o1777),
    "the sticky folder above is somebody else's": lambda folder: _given_away(folder.parent),
    "no property": lambda folder: (folder / "show.profile").write_text("rm -rf /\n"),
    "a profile that is a link": lambda folder: (folder / "show.profile").symlink_to("/etc/hosts"),
    "a profile that is a pipe": lambda folder: os.mkfifo(folder / "show.profile", 0o644),
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_what_others_could_have_put_there_is_refused(
    folder: Path, trick: Callable[[Path], object]
) -> None:
    trick(folder)
    with pytest.raises(RefusedError):
        find(folder, "show")


def test_a_profile_of_somebody_else_is_refused(folder: Path) -> None:
    profile = folder / "show.profile"
    profile.write_text("")
    os.chown(profile, NOBODY, 0)
    with pytest.raises(RefusedError):
        find(folder, "show")
