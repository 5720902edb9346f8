import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import files


def test_no_place_for_a_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(FleetCloudError, match="no temporary folder"), files.temporary_folder():
        pass


def test_what_cannot_be_removed_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FleetCloudError, match="cannot be removed"):
        files.remove(tmp_path)
    with pytest.raises(FleetCloudError, match="half a character"):
        files.write_public(tmp_path / "x", "\ud800")
    with pytest.raises(FleetCloudError, match="half a character"):
        files.create_secret(tmp_path / "x", "\ud800")
    assert [*tmp_path.iterdir()] == []


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "umask 022", "umask 077"])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_umask")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    files.create_secret(tmp_path / "key", "k")
    files.write_public(tmp_path / "certificate", "c")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "certificate").stat().st_mode & 0o777 == 0o644


def test_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("old")
    with pytest.raises(FleetCloudError, match="never overwritten"):
        files.create_secret(key, "new")
    assert key.read_text() == "old"


def test_link_in_the_keys_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / "key").symlink_to(target)
    with pytest.raises(FleetCloudError):
        files.create_secret(tmp_path / "key", "k")
    assert not target.exists()


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("a", "b"):
        with pytest.raises(FleetCloudError, match="not a regular file"):
            files.write_public(tmp_path / name, "x")


def test_nothing_half_written_stays_behind(tmp_path: Path) -> None:
    files.write_public(tmp_path / "config.yaml", "old")
    files.write_public(tmp_path / "config.yaml", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "new"


def test_folder_that_cannot_be_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FleetCloudError, match=r"file/sub cannot be created"):
        files.make_folder(tmp_path / "file" / "sub", 0o700)


def test_fifo_is_not_waited_for_unless_somebody_writes_to_it(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(FleetCloudError, match="a FIFO, and no program writes to it"):
        files.read(fifo)
    # As a shell's <(command) is: open before, and written to later.
    with subprocess.Popen(
        ["sh", "-c", "echo; sleep 0.2; echo late"], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout
        assert files.read(Path(f"/dev/fd/{writer.stdout.fileno()}")) == "\nlate\n"


def test_file_that_is_not_there_is_nothing_and_one_that_is_no_text_is_told(tmp_path: Path) -> None:
    assert files.read(tmp_path / "none") is None
    with pytest.raises(FleetCloudError, match="it is a folder"):
        files.read(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(FleetCloudError, match="cannot be read"):
        files.read(tmp_path / "binary")
