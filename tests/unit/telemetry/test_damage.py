"""What SQLite's errors mean, and what becomes of damaged files."""

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

from fleet_agent.telemetry.damage import full, is_damage, set_aside, unusable
from support.users import NOBODY, as_nobody


def error(code: int | None) -> sqlite3.Error:
    found = sqlite3.DatabaseError("words of SQLite")
    if code is not None:
        found.sqlite_errorcode = code
    return found


@pytest.mark.parametrize(
    ("code", "is_it"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_FORMAT, True),
        (sqlite3.SQLITE_ERROR, True),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, True),
        (sqlite3.SQLITE_READONLY, True),
        (sqlite3.SQLITE_READONLY_DIRECTORY, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_IOERR_READ, False),
        (sqlite3.SQLITE_BUSY, False),
        # Such as "Cannot operate on a closed database", of Python's own.
        (None, False),
    ],
)
def test_only_what_does_not_heal_is_damage(code: int | None, is_it: bool) -> None:
    assert is_damage(error(code)) is is_it


def test_a_file_on_a_disk_that_is_read_only_is_not_damaged() -> None:
    assert not is_damage(error(sqlite3.SQLITE_READONLY), is_writable=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_file_that_is_closed_to_the_agent_is_given_back_by_the_doctor() -> None:
    """It is no damage, and no restart opens it: the readings in it are sent afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "q"
        path.write_bytes(b"readings")
        os.chown(folder, NOBODY, NOBODY)
        path.chmod(0o600)
        with as_nobody():
            made = unusable(path, error(sqlite3.SQLITE_CANTOPEN))
    assert (made.code, made.exit_status) == ("queue-eacces", 78)
    assert "sudo fleet-agent doctor --fix" in made.remedy


@pytest.mark.parametrize(
    ("found", "code", "title", "remedy"),
    [
        (full(), "enospc", "the disk is full", "Free some space"),
        (error(sqlite3.SQLITE_READONLY_ROLLBACK), "erofs", "it is read-only", "Mount it writable"),
        (error(sqlite3.SQLITE_IOERR_FSYNC), "eio", "the disk is failing", "replace it"),
        (error(sqlite3.SQLITE_CANTOPEN), "eacces", "it cannot be opened", "owner and mode"),
        (error(sqlite3.SQLITE_BUSY_RECOVERY), "ebusy", "another program has it", "Stop that"),
        (error(None), "error", "words of SQLite", "Check the file"),
        (OSError(5, "Input/output error"), "error", "[Errno 5] Input/output", "Check the file"),
    ],
)
def test_what_heals_is_named_with_what_to_do(
    found: sqlite3.Error | OSError, code: str, title: str, remedy: str
) -> None:
    made = unusable(Path("/state/q"), found)
    assert made.code == f"queue-{code}"
    assert made.title.startswith(f"The queue of readings /state/q cannot be used: {title}")
    assert remedy in made.remedy


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def damage(path: Path, words: str) -> None:
    path.write_text(words)
    path.with_name(f"{path.name}-wal").write_text(f"log of {words}")


def test_two_damaged_files_are_kept_each_with_its_log_and_the_oldest_go(tmp_path: Path) -> None:
    # With what stands before a damaged file's number in its own name, and others' files beside it.
    path = tmp_path / "q-1.sqlite3"
    for name in ("q-1.sqlite3.damaged-by-me", "q-1.sqlite3.damaged-10-wal.gz"):
        (tmp_path / name).touch()
    others = names(tmp_path)
    (tmp_path / "q-1.sqlite3.damaged-7").touch()
    for number in range(8, 13):
        damage(path, str(number))
        kept = path.with_name(f"{path.name}.damaged-{number}")
        assert set_aside(path) == kept
        assert kept.read_text() == str(number)
        assert kept.with_name(f"{kept.name}-wal").read_text() == f"log of {number}"
        assert not path.exists()
    last = [f"{path.name}.damaged-{number}{end}" for number in (11, 12) for end in ("", "-wal")]
    assert names(tmp_path) == sorted([*others, *last])


def test_more_than_two_that_a_former_version_kept_go_too(tmp_path: Path) -> None:
    path = tmp_path / "q"
    for number in (7, 8, 9, 10):
        path.with_name(f"q.damaged-{number}").touch()
    damage(path, "now")
    assert set_aside(path).name == "q.damaged-11"
    assert names(tmp_path) == ["q.damaged-10", "q.damaged-11", "q.damaged-11-wal"]


def test_one_without_a_log_has_none_afterwards(tmp_path: Path) -> None:
    (tmp_path / "q").touch()
    assert set_aside(tmp_path / "q").name == "q.damaged-1"
    assert names(tmp_path) == ["q.damaged-1"]
