"""Which file it was, whatever rotation made of it."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.errors import StateDirectoryError
from fleet_agent.telemetry.sources.position import Opened, Position, after, find, load, save

HEAD = 1024


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """What is not given out is closed."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    # Fewer, when what an earlier test left is collected only now.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def write(path: Path, text: str, age: int = 0) -> Path:
    """A file last written so many seconds after the first one."""
    path.write_text(text)
    return aged(path, age)


def aged(path: Path, age: int) -> Path:
    os.utime(path, ns=(0, (1_000_000 + age) * 10**9))
    return path


def position(path: Path, offset: int) -> Position:
    opened = Opened(path)
    head, size = opened.head(offset)
    opened.close()
    return Position(inode=opened.inode, offset=offset, head=head, head_size=size)


def found(path: Path, before: Position, since: int | None = None) -> str | None:
    opened = find(path, before, since)
    if opened is None:
        return None
    opened.close()
    return next(each.name for each in path.parent.iterdir() if each.stat().st_ino == opened.inode)


def following(path: Path, done: Path) -> str:
    last = Opened(done)
    opened = after(path, last)
    last.close()
    opened.close()
    return next(each.name for each in path.parent.iterdir() if each.stat().st_ino == opened.inode)


def test_a_file_is_known_by_its_beginning_and_long_enough(log: Path) -> None:
    write(log, "a" * 2000)
    opened = Opened(log)
    assert opened.size == 2000
    assert opened.read(1999, 10) == b"a"
    assert opened.is_at(log)
    head, size = opened.head(5000)
    assert size == HEAD
    here = Position(inode=1, offset=2000, head=head, head_size=HEAD)
    assert opened.is_of(here)
    with log.open("r+") as file:
        file.seek(1500)
        file.write("b")
    assert opened.is_of(here)
    with log.open("r+") as file:
        file.seek(HEAD - 1)
        file.write("b")
    assert not opened.is_of(here)
    log.write_text("a" * 1999)
    assert not opened.is_of(here)
    log.rename(log.with_name("x.log.1"))
    write(log, "a" * 2000)
    assert not opened.is_at(log)
    opened.close()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_opened(log: Path, make: object) -> None:
    make(log)  # type: ignore[operator]
    with pytest.raises(OSError, match="not a regular file"):
        Opened(log)
    with pytest.raises(FileNotFoundError):
        Opened(log.with_name("other"))


def test_a_position_is_kept_for_its_path_alone(tmp_path: Path, log: Path) -> None:
    record = tmp_path / "record"
    here = Position(inode=5, offset=7, head=9, head_size=3)
    assert load(record, log) is None
    save(record, log, here)
    assert load(record, log) == here
    assert load(record, log.with_name("other")) is None
    assert record.stat().st_mode & 0o777 == 0o600
    value = json.loads(record.read_text())
    for wrong in (
        "",
        "null",
        "[]",
        "{",
        json.dumps({**value, "schema": 2}),
        json.dumps({**value, "offset": "x"}),
        json.dumps({**value, "head": None}),
        json.dumps({name: value[name] for name in value if name != "inode"}),
    ):
        record.write_text(wrong)
        assert load(record, log) is None
    with pytest.raises(StateDirectoryError):
        save(tmp_path / "nowhere" / "record", log, here)


def test_it_is_found_under_its_own_name_or_that_which_it_has_now(log: Path) -> None:
    write(log, "one\n")
    here = position(log, 4)
    assert found(log, here) == "x.log"
    log.rename(log.with_name("x.log.3"))
    assert found(log, here) == "x.log.3"
    write(log, "two\n", 1)
    write(log.with_name("x.log.2"), "one\n", 5)
    # The very file before a copy of it, though that is younger.
    assert found(log, here) == "x.log.3"
    log.with_name("x.log.3").unlink()
    assert found(log, here) == "x.log.2"
    log.with_name("x.log.2").unlink()
    assert found(log, here) is None
    log.unlink()
    assert found(log, here) is None


def test_one_that_was_cut_and_copied_is_found_in_the_youngest_copy(log: Path) -> None:
    write(log, "one\ntwo\n")
    here = position(log, 4)
    for number, age in ((3, 1), (2, 3), (1, 2)):
        aged(Path(shutil.copy(log, log.with_name(f"x.log.{number}"))), age)
    write(log, "new\n", 9)
    assert found(log, here) == "x.log.2"
    # Too short to be it, or another one.
    write(log.with_name("x.log.2"), "one", 3)
    write(log.with_name("x.log.1"), "0ne\ntwo\n", 2)
    assert found(log, here) == "x.log.3"


def test_one_with_the_same_beginning_in_its_place_is_not_it(log: Path) -> None:
    write(log, "one\n")
    here = position(log, 4)
    log.rename(log.with_name("away"))
    write(log, "one\ntwo\n")
    assert found(log, here) is None


def test_one_that_was_empty_is_known_by_its_number_alone(log: Path) -> None:
    write(log, "")
    here = position(log, 0)
    assert here.head_size == 0
    write(log.with_name("x.log.2"), "other\n", 5)
    assert found(log, here) == "x.log"
    log.rename(log.with_name("x.log.1"))
    assert found(log, here) == "x.log.1"
    log.with_name("x.log.1").rename(log.with_name("away"))
    assert found(log, here) is None


def test_one_that_was_empty_may_have_grown_and_been_copied_since(log: Path) -> None:
    write(log, "")
    here = position(log, 0)
    since = (1_000_000 + 10) * 10**9
    write(log.with_name("x.log.3"), "old\n", 9)
    assert found(log, here, since) == "x.log"
    write(log.with_name("x.log.2"), "first\n", 11)
    write(log.with_name("x.log.1"), "second\n", 12)
    assert found(log, here, since) == "x.log.2"
    write(log, "one\n")
    assert found(log, position(log, 4), since) == "x.log"


def test_the_next_is_the_first_that_is_younger_and_at_last_the_one_in_its_place(
    log: Path,
) -> None:
    done = write(log.with_name("x.log.4"), "done", 10)
    write(log.with_name("x.log.5"), "older", 9)
    write(log, "now", 13)
    assert following(log, done) == "x.log"
    write(log.with_name("x.log.2"), "second", 12)
    write(log.with_name("x.log.3"), "first", 11)
    assert following(log, done) == "x.log.3"
    assert following(log, log.with_name("x.log.3")) == "x.log.2"
    # The same file under two names.
    os.link(log, log.with_name("x.log.1"))
    assert following(log, log.with_name("x.log.2")) in ("x.log", "x.log.1")
    os.link(done, log.with_name("x.log.6"))
    assert following(log, done) == "x.log.3"
    log.with_name("x.log.1").unlink()
    log.unlink()
    last = Opened(log.with_name("x.log.2"))
    with pytest.raises(FileNotFoundError):
        after(log, last)
    last.close()


@pytest.mark.parametrize(
    ("end", "is_it"),
    [
        (".1", True),
        (".12", True),
        ("-20261101", True),
        ("-2026-11-01.3", True),
        (".1.gz", False),
        (".bak", False),
        ("1", False),
        (".", False),
        ("-", False),
        (".1-", False),
    ],
)
@pytest.mark.parametrize("name", ["x.log", "a[1]*?.log"])
def test_names_that_rotation_gives(tmp_path: Path, name: str, end: str, *, is_it: bool) -> None:
    log = write(tmp_path / name, "one\n")
    here = position(log, 4)
    log.rename(tmp_path / (name + end))
    assert (found(log, here) is not None) is is_it


def test_a_folder_with_such_a_name_is_none(log: Path) -> None:
    write(log, "one\n")
    here = position(log, 4)
    log.with_name("x.log.1").mkdir()
    write(log, "two\n")
    assert found(log, here) is None
