import errno
import os
import socket
import stat
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet_agent import files
from fleet_agent.errors import StateDirectoryError
from fleet_agent.files import failures
from support.disks import no_file_larger_than
from support.users import NOBODY, as_nobody


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Writing --------------------------------------------------------------------------------------------------------------


def test_a_new_file(tmp_path: Path) -> None:
    files.write(tmp_path / "f", b"data", 0o600)
    assert (tmp_path / "f").read_bytes() == b"data"
    assert os.listdir(tmp_path) == ["f"]  # noqa: PTH208 - hidden ones too


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_the_mode_is_exact_whatever_the_umask(
    tmp_path: Path, mode: int, mask: int, umask: Callable[[int], None]
) -> None:
    umask(mask)
    files.write(tmp_path / "f", b"data", mode)
    files.make_folder(tmp_path / "folder", 0o700)
    umask(0)
    assert mode_of(tmp_path / "f") == mode
    assert mode_of(tmp_path / "folder") == 0o700


def test_another_file_takes_its_place_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.write(path, b"old", 0o600)
    before = path.open("rb")
    files.write(path, b"new", 0o644)
    assert before.read() == b"old"  # whoever had it open still reads the old one
    before.close()
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o644


def test_what_an_interrupted_write_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".f.tmp").write_text("half of an older on")
    files.write(tmp_path / "f", b"new", 0o600)
    assert (tmp_path / "f").read_bytes() == b"new"
    assert not (tmp_path / ".f.tmp").exists()


def test_a_temporary_file_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".f.tmp").symlink_to(tmp_path / "mine")
    files.write(tmp_path / "f", b"new", 0o600)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "f").is_symlink()


def test_a_disk_that_takes_only_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.write(path, b"old", 0o600)
    with no_file_larger_than(4096), pytest.raises(StateDirectoryError, match="Cannot write"):
        files.write(path, b"x" * 4800, 0o600)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]  # noqa: PTH208


def test_only_what_fits_of_a_ledger_line_is_not_taken_for_a_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    files.append_line(path, "first")
    with no_file_larger_than(10), pytest.raises(StateDirectoryError, match="Cannot append"):
        files.append_line(path, "second")
    files.append_line(path, "third")
    assert path.read_text() == "first\nseco\nthird\n"


def test_a_disk_that_takes_nothing_more(tmp_path: Path) -> None:
    with no_file_larger_than(0), pytest.raises(StateDirectoryError) as caught:
        files.write(tmp_path / "f", b"x", 0o600)
    assert caught.value.code == "state-efbig"
    assert caught.value.remedy
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_new_file_is_refused_where_one_stands(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the only one")
    with pytest.raises(StateDirectoryError, match="never overwritten") as caught:
        files.write(tmp_path / "key", b"another", 0o600, new=True)
    assert caught.value.code == "state-eexist"
    assert (tmp_path / "key").read_text() == "the only one"


def link(path: Path) -> None:
    path.with_name("target").write_text("mine")
    path.symlink_to("target")


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listener(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("make", [link, dangling_link, folder, pipe, listener])
@pytest.mark.parametrize(
    "act",
    [
        lambda path: files.write(path, b"x", 0o600),
        lambda path: files.write(path, b"x", 0o600, new=True),
        lambda path: files.append_line(path, "x"),
        files.read,
    ],
    ids=["write", "write new", "append", "read"],
)
def test_what_is_no_regular_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None], act: Callable[[Path], object]
) -> None:
    make(tmp_path / "f")
    with pytest.raises(StateDirectoryError, match="not allowed"):
        act(tmp_path / "f")
    if (tmp_path / "target").exists():
        assert (tmp_path / "target").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_somebody_elses_folder() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with as_nobody(), pytest.raises(StateDirectoryError) as caught:
            files.write(Path(name) / "f", b"x", 0o600)
        Path(name).chmod(0o755)
    assert caught.value.code == "state-eacces"
    assert "owner" in caught.value.remedy


# Reading --------------------------------------------------------------------------------------------------------------


def test_nothing_there(tmp_path: Path) -> None:
    assert files.read(tmp_path / "f") is None
    assert files.read(tmp_path / "no folder" / "f") is None


def test_a_file_of_any_size_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 10)
    assert files.read(tmp_path / "f", limit=10) == b"x" * 10
    with pytest.raises(StateDirectoryError, match="larger than 9 bytes"):
        files.read(tmp_path / "f", limit=9)


# Folders, links, removal ----------------------------------------------------------------------------------------------


def test_a_folder_with_its_parents(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a/b/c", 0o755)
    assert [mode_of(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700, 0o700, 0o755]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o750)
    files.make_folder(tmp_path / "a")
    assert mode_of(tmp_path / "a") == 0o750


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(StateDirectoryError) as caught:
        files.make_folder(tmp_path / "a")
    assert caught.value.code == "state-eexist"
    with pytest.raises(StateDirectoryError):
        files.make_folder(tmp_path / "a" / "b")


def test_a_link_is_swapped_in_one_step(tmp_path: Path) -> None:
    current = tmp_path / "current"
    (tmp_path / ".current.tmp").symlink_to("left by an interrupted swap")
    files.point(current, "0001")
    files.point(current, "0002")
    assert current.readlink() == Path("0002")
    assert not os.path.lexists(tmp_path / ".current.tmp")


@pytest.mark.parametrize("make", [folder, pipe, lambda path: path.touch()])
def test_a_link_takes_the_place_of_a_link_only(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "current")
    with pytest.raises(StateDirectoryError, match="not a link") as caught:
        files.point(tmp_path / "current", "0001")
    assert caught.value.code == "state-eexist"
    assert not (tmp_path / "current").is_symlink()


def test_removing(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    files.remove(tmp_path / "f")
    files.remove(tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_removing_a_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/f").touch()
    (tmp_path / "a/.hidden").touch()
    files.remove_folder(tmp_path / "a")
    files.remove_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_removing_a_folder_with_whatever_somebody_put_there(tmp_path: Path) -> None:
    """A `mkdir` in the place of a file kept `reset` from ending, and a replaced generation from going."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/f").touch()
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "a/b/fifo")
    files.remove_folder(tmp_path / "a")
    assert [path.name for path in tmp_path.rglob("*")] == ["precious", "f"]


def test_removing_a_link_to_a_folder_removes_the_link(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/f").touch()
    (tmp_path / "a").symlink_to("precious")
    files.remove_folder(tmp_path / "a")
    assert (tmp_path / "precious/f").exists()
    assert not (tmp_path / "a").is_symlink()


# Root among other users -----------------------------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Path]:
    """A folder of another user's, with a link in it to a folder of root's."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "f").write_text("root's")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "way").symlink_to(tmp_path / "root")
        os.chown(folder, NOBODY, NOBODY)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be careful as root")
@pytest.mark.parametrize(
    "use",
    [
        lambda path: files.write(path, b"new", 0o600),
        lambda path: files.append_line(path, "new"),
        lambda path: files.point(path.with_name("link"), "new"),
        files.remove,
        files.remove_folder,
        files.read,
        files.is_there,
        files.owner,
        lambda path: files.move(path, path.with_name("new")),
        lambda path: files.make_folder(path.with_name("new")),
    ],
)
def test_root_follows_no_link_of_another_users(
    theirs: Path, tmp_path: Path, use: Callable[[Path], object]
) -> None:
    with pytest.raises(StateDirectoryError, match="another user's symbolic link"):
        use(theirs / "way" / "f")
    assert os.listdir(tmp_path / "root") == ["f"]  # noqa: PTH208
    assert (tmp_path / "root" / "f").read_text() == "root's"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be careful as root")
def test_root_reads_and_writes_in_another_users_folder(theirs: Path) -> None:
    (theirs / "below").mkdir()
    files.write(theirs / "below" / "f", b"data", 0o600)
    assert files.read(theirs / "below" / "f") == b"data"
    files.append_line(theirs / "below" / "lines", "one")
    files.move(theirs / "below" / "f", theirs / "below" / "g")
    files.point(theirs / "below" / "link", "g")
    files.remove_folder(theirs / "below")
    assert not (theirs / "below").exists()


def test_roots_own_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "way").symlink_to("folder")
    files.write(tmp_path / "way" / "f", b"data", 0o600)
    assert files.read(tmp_path / "folder" / "f") == b"data"


def test_every_known_cause_has_a_remedy_of_its_own() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
        assert failures._REMEDIES[number]


def test_reading_takes_the_memory_of_the_content_and_not_of_the_limit(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    tracemalloc.start()
    try:
        assert len(files.read(tmp_path / "f", limit=1 << 26) or b"") == 1000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
