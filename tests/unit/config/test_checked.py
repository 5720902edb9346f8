"""Settings kept beside the configuration count while nothing has changed, and only from the configuration's owner."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.cli import main, run
from fleet_agent.config import checked
from fleet_agent.config.settings import Settings
from fleet_agent.errors import UsageError
from support.configurations import Folder

TEXT = "endpoint: a.example\ntelemetry: {sources: [{system: {interval: 90s}}]}\n"


@pytest.fixture
def kept(folder: Folder) -> Path:
    """The file with what came of a configuration with a drop-in."""
    folder.path.chmod(0o755)
    folder.write(TEXT).chmod(0o644)
    folder.write("port: 443\n", "config.d/a.yaml").chmod(0o644)
    assert main(["config", "check", "--keep", "--config", str(folder.file)]) == 0
    return folder.path / "config.yaml.checked"


def test_who_asks_is_shown_where_it_is_kept(
    folder: Folder, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["config", "check", "--config", str(folder.file)]
    assert main([*words, "--keep"]) == 0
    assert f"kept for the next start: {kept}" in capsys.readouterr().out
    for more, expected in (["--keep"], str(kept)), ([], None):
        assert main([*words, *more, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["kept"] == expected


def test_what_is_recalled_is_what_loading_gives(folder: Folder, kept: Path) -> None:
    assert kept.is_file()
    assert checked.recall(folder.file) == folder.load()
    assert checked.recall(folder.path / "other.yaml") is None


def other_code(path: Path) -> None:
    data = path.read_bytes()
    head, _, body = data[8:].partition(b"\n")
    known = json.loads(head)
    name = next(iter(known["code"]))
    known["code"][name][1] += 1
    rest = json.dumps(known).encode() + b"\n" + body
    path.write_bytes(checked._sum(rest) + rest)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def in_its_place(folder: Folder, _: Path) -> None:
    times = folder.file.stat()
    folder.write(TEXT.replace("90s", "80s"))
    os.utime(folder.file, ns=(times.st_atime_ns, times.st_mtime_ns))


def a_fifo(_: Folder, kept: Path) -> None:
    kept.unlink()
    os.mkfifo(kept)


CHANGES: dict[str, Callable[[Folder, Path], object]] = {
    "the file": lambda folder, _: folder.write(TEXT + "port: 8883\n"),
    "the file, but for size and time": in_its_place,
    "a drop-in": lambda folder, _: folder.write("port: 8883\n", "config.d/a.yaml"),
    "one drop-in more": lambda folder, _: folder.write("port: 8883\n", "config.d/b.yaml"),
    "one drop-in less": lambda folder, _: (folder.path / "config.d/a.yaml").unlink(),
    "no file": lambda folder, _: folder.file.unlink(),
    "the agent's code": lambda _, kept: other_code(kept),
    "a byte of the sum": lambda _, kept: flip(kept, 0),
    "a byte of the head": lambda _, kept: flip(kept, 20),
    "the last byte": lambda _, kept: flip(kept, -1),
    "a half": lambda _, kept: os.truncate(kept, 100),
    "nothing left": lambda _, kept: os.truncate(kept, 0),
    "written by others": lambda _, kept: kept.chmod(0o666),
    "a FIFO": a_fifo,
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_nothing_is_recalled(folder: Folder, kept: Path, change: str) -> None:
    CHANGES[change](folder, kept)
    assert checked.recall(folder.file) is None


def test_another_version_is_not_recalled(
    folder: Folder, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept.is_file()
    monkeypatch.setattr(checked, "__version__", "9.9.9")
    assert checked.recall(folder.file) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_nobody_but_the_owner_is_believed(folder: Folder, kept: Path) -> None:
    os.chown(kept, 12345, 12345)
    assert checked.recall(folder.file) is None
    # Root may take that user's configuration, but not run that user's code.
    os.chown(folder.file, 12345, 12345)
    assert checked.recall(folder.file) is None


def test_a_pickle_of_another_user_is_never_opened(folder: Folder, kept: Path) -> None:
    """The mode alone makes it untrusted, whatever its content says."""
    trap = folder.path / "trap"
    rest = kept.read_bytes()[8:].partition(b"\n")[0] + b"\n" + pickle.dumps(_Trap(str(trap)))
    kept.write_bytes(checked._sum(rest) + rest)
    kept.chmod(0o664)
    assert checked.recall(folder.file) is None
    assert not trap.exists()


class _Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("part", ["config.yaml", "config.d/a.yaml", "."])
def test_it_is_kept_only_where_nobody_else_can_write(
    folder: Folder, kept: Path, part: str
) -> None:
    kept.unlink()
    (folder.path / part).chmod(0o775)
    with pytest.raises(UsageError, match="or others can write it"):
        checked.keep(folder.file, folder.load)
    assert not kept.exists()


def test_it_shows_no_more_than_the_configuration(folder: Folder, kept: Path) -> None:
    assert kept.stat().st_mode & 0o777 == 0o644
    (folder.path / "config.d/a.yaml").chmod(0o600)
    checked.keep(folder.file, folder.load)
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(
    ("file", "drop_in", "expected"),
    [
        ((54321, 0o640), (54321, 0o640), (54321, 0o640)),
        # Everybody's shows the group nothing that it may not see.
        ((54321, 0o640), (0, 0o644), (54321, 0o640)),
        ((0, 0o644), (54321, 0o640), (54321, 0o640)),
        ((54321, 0o640), (0, 0o600), (54321, 0o600)),
        ((54321, 0o640), (54322, 0o640), (54322, 0o600)),
    ],
)
def test_it_is_shown_to_those_who_may_read_all_of_the_configuration(
    folder: Folder,
    kept: Path,
    file: tuple[int, int],
    drop_in: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    for path, (group, mode) in (folder.file, file), (folder.path / "config.d/a.yaml", drop_in):
        os.chown(path, 0, group)
        path.chmod(mode)
    checked.keep(folder.file, folder.load)
    assert (kept.stat().st_gid, kept.stat().st_mode & 0o777) == expected


def test_what_changes_while_it_is_checked_is_not_kept(folder: Folder, kept: Path) -> None:
    kept.unlink()

    def load() -> Settings:
        settings = folder.load()
        folder.write(TEXT.replace("90s", "80s"))
        return settings

    with pytest.raises(UsageError, match="has changed meanwhile"):
        checked.keep(folder.file, load)
    assert not kept.exists()


def test_it_is_not_for_the_code_of_another_checkout(
    folder: Folder, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept.is_file()
    monkeypatch.setattr(checked, "__file__", "/another/checkout/checked.py")
    assert checked.recall(folder.file) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="root's configuration")
def test_the_service_is_asked_only_for_what_root_will_keep(
    folder: Folder, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked, "CONFIG_FILE", str(folder.file))
    runtime = folder.path / "run"
    runtime.mkdir()
    mark = runtime / checked.MARK

    def ask() -> bool:
        mark.unlink(missing_ok=True)
        checked.ask_service(folder.file, {"RUNTIME_DIRECTORY": str(runtime)})
        return mark.exists()

    assert kept.is_file()
    assert ask()
    folder.path.chmod(0o775)
    assert not ask()
    folder.path.chmod(0o755)
    os.chown(folder.file, 12345, -1)
    assert not ask()
    folder.file.unlink()
    assert not ask()


def test_the_daemon_recalls_it_for_the_configuration_alone(folder: Folder, kept: Path) -> None:
    assert kept.is_file()
    words = ["run", "--config", str(folder.file)]
    for given in (words, [*words, "--allow-volatile"], ["run", "--as-owner", *words[1:]]):
        assert run._kept(given) == run.options(given)
    for more in (["--port", "8883"], ["--verbose"], ["--config", "/other"], ["--config"]):
        assert run._kept([*words, *more]) is None


@pytest.mark.parametrize("words", [["show", "--keep"], ["check", "--keep", "--port", "443"]])
def test_keep_is_for_check_without_settings(folder: Folder, words: list[str]) -> None:
    folder.write(TEXT)
    assert main(["config", *words, "--config", str(folder.file)]) == 2
    assert list(folder.path.iterdir()) == [folder.file]
