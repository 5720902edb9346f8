"""Functions that are called in a program beside this one, and the one fork."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.credentials import keys
from fleet_agent.credentials.model import Secret
from fleet_agent.errors import AgentError, DeviceError, NotAllowedError, TemporaryError
from fleet_agent.programs.aside import Aside
from support.agent import until


@pytest.fixture
def aside() -> Iterator[Aside]:
    found = Aside()
    yield found
    found.close()


def test_calls_are_answered_by_one_other_process(aside: Aside) -> None:
    first, second = aside.call(os.getpid), aside.call(os.getpid)
    assert first == second != os.getpid()


def test_secrets_and_errors_come_back_as_what_they_are(aside: Aside) -> None:
    key = aside.call(keys.make_private_key, "ec-p256")
    assert isinstance(key, Secret)
    assert aside.call(keys.make_csr, key).pem.startswith("-----BEGIN CERTIFICATE REQUEST")
    with pytest.raises(DeviceError) as caught:
        aside.call(keys.read_csr, b"nothing", "device.csr")
    assert "device.csr" in caught.value.title
    assert caught.value.remedy
    assert caught.value.code == "csr-invalid"


@pytest.mark.parametrize(
    "error",
    [
        TemporaryError("a", remedy="b", code="c"),
        NotAllowedError("thing", "iot:Publish", "topic/a"),
    ],
)
def test_every_error_goes_through_a_pipe(error: AgentError) -> None:
    error.step = "registered"
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert vars(found) == vars(error)
    assert str(found) == str(error)


def test_only_cryptography_brings_an_openssl(aside: Aside) -> None:
    """That of hashlib would be 3 MB, and three tenths of the CPU of a first boot."""
    aside.call(keys.load)
    assert aside.call(eval, "__import__('hashlib').sha256(b'').hexdigest()")[:8] == "e3b0c442"
    assert aside.call(eval, "__import__('sys').modules['_hashlib']") is None


def test_what_it_prints_does_not_come_between_the_answers(aside: Aside) -> None:
    assert aside.call(print, "noise") is None
    assert aside.call(len, "four") == 4


def test_one_that_takes_too_long_or_dies_is_an_error_and_the_next_call_works(aside: Aside) -> None:
    with pytest.raises(TemporaryError, match="its time was over"):
        Aside(limit=0.3).call(signal.pause)
    with pytest.raises(TemporaryError, match="gave no answer"):
        aside.call(os._exit, 1)
    assert aside.call(len, "four") == 4


def test_nothing_is_imported_from_the_folder_that_it_is_called_in(
    aside: Aside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fleet_agent").mkdir()
    (tmp_path / "fleet_agent/__init__.py").write_text("raise SystemExit('a trap')")
    monkeypatch.chdir(tmp_path)
    assert aside.call(len, "four") == 4


def test_a_fork_brings_the_answer_and_not_the_imports() -> None:
    sys.modules.pop("colorsys", None)
    aside = Aside.forked()
    aside.ask(import_something)
    assert aside.answer() == "colorsys"
    assert "colorsys" not in sys.modules
    assert aside.call(os.getpid) != os.getpid()
    aside.close()
    # The next one is a program.
    assert aside.call(len, "four") == 4
    aside.close()


def import_something() -> str:
    import colorsys

    return colorsys.__name__


def test_what_was_asked_and_not_waited_for_does_not_come_for_another_answer(aside: Aside) -> None:
    aside.ask(len, "one")
    aside.ask(keys.load)
    assert aside.call(len, "four") == 4


def test_a_fork_ends_with_its_parent() -> None:
    script = (
        "import os\n"
        "from fleet_agent.programs.aside import Aside\n"
        "aside = Aside.forked()\n"
        "print(aside.call(os.getpid), flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    until(lambda: not Path(f"/proc/{int(done.stdout)}").exists(), "the fork to end")


def test_a_fork_keeps_nothing_open_that_its_parent_has(tmp_path: Path) -> None:
    """An image that follows another is given the state's lock and its sockets: they end with it, killed or not."""
    held = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    aside = Aside.forked()
    assert tmp_path / "lock" not in aside.call(open_files)
    aside.close()
    os.close(held)


def open_files() -> list[Path]:
    return [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]


def test_there_is_no_fork_beside_threads() -> None:
    enough = threading.Event()
    thread = threading.Thread(target=enough.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="fork"):
            Aside.forked()
    finally:
        enough.set()
        thread.join()
