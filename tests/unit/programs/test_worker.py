"""Functions that a worker process calls, and the one fork."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent import errors
from fleet_agent.credentials import keys
from fleet_agent.credentials.model import Secret
from fleet_agent.errors import AgentError, DeviceError, NotAllowedError, TemporaryError
from fleet_agent.programs.worker import Worker
from support.agent import until


@pytest.fixture
def worker() -> Iterator[Worker]:
    found = Worker()
    yield found
    found.close()


def test_calls_are_answered_by_one_other_process(worker: Worker) -> None:
    first, second = worker.call(os.getpid), worker.call(os.getpid)
    assert first == second != os.getpid()


def test_secrets_and_errors_come_back_as_what_they_are(worker: Worker) -> None:
    key = worker.call(keys.make_private_key, "ec-p256")
    assert isinstance(key, Secret)
    assert worker.call(keys.make_csr, key).pem.startswith("-----BEGIN CERTIFICATE REQUEST")
    with pytest.raises(DeviceError) as caught:
        worker.call(keys.read_csr, b"nothing", "device.csr")
    assert "device.csr" in caught.value.title
    assert caught.value.remedy
    assert caught.value.code == "csr-invalid"


_REPLACED = """
import os, pathlib, sys
from fleet_agent.errors import TemporaryError
from fleet_agent.programs import worker
file = pathlib.Path(worker.__file__)
new = file.with_name("new.py")
new.write_text(sys.argv[1])
found = worker.Worker()
for _ in range(2):
    try:
        print("answered" if found.call(os.getpid) else "")
    except TemporaryError as error:
        print(error.code, error.title, error.remedy)
    found.close()
    if new.exists():
        new.replace(file)
    else:
        file.unlink()
"""


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)", "import fleet_agent.not_there_any_more", ""]
)
def test_a_program_that_was_replaced_is_named_and_no_lack_of_memory(
    tmp_path: Path, code: str
) -> None:
    """As pip leaves the running agent."""
    ours = Path(errors.__file__).parent
    shutil.copytree(ours, tmp_path / "fleet_agent", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", _REPLACED, code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first == "answered"
    assert second.startswith("program-replaced The agent's program was replaced while it runs")
    assert str(tmp_path) in second
    assert second.endswith(" systemctl restart fleet-agent")


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


def test_only_cryptography_brings_an_openssl(worker: Worker) -> None:
    """That of hashlib would be 3 MB, and three tenths of the CPU of a first boot."""
    worker.call(keys.load)
    assert worker.call(eval, "__import__('hashlib').sha256(b'').hexdigest()")[:8] == "e3b0c442"
    assert worker.call(eval, "__import__('sys').modules['_hashlib']") is None


def test_what_it_prints_does_not_come_between_the_answers(worker: Worker) -> None:
    assert worker.call(print, "noise") is None
    assert worker.call(len, "four") == 4


def test_one_that_takes_too_long_or_dies_is_an_error_and_the_next_call_works(
    worker: Worker,
) -> None:
    with pytest.raises(TemporaryError, match="its time limit was over"):
        Worker(limit=0.3).call(signal.pause)
    with pytest.raises(TemporaryError, match="gave no answer"):
        worker.call(os._exit, 1)
    assert worker.call(len, "four") == 4


def test_nothing_is_imported_from_the_folder_that_it_is_called_in(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fleet_agent").mkdir()
    (tmp_path / "fleet_agent/__init__.py").write_text("raise SystemExit('a trap')")
    monkeypatch.chdir(tmp_path)
    assert worker.call(len, "four") == 4


def test_a_fork_brings_the_answer_and_not_the_imports() -> None:
    sys.modules.pop("colorsys", None)
    worker = Worker.forked()
    worker.ask(import_something)
    assert worker.answer() == "colorsys"
    assert "colorsys" not in sys.modules
    assert worker.call(os.getpid) != os.getpid()
    worker.close()
    # The next one is a program.
    assert worker.call(len, "four") == 4
    worker.close()


def import_something() -> str:
    import colorsys

    return colorsys.__name__


def test_what_was_asked_and_not_waited_for_does_not_come_for_another_answer(
    worker: Worker,
) -> None:
    worker.ask(len, "one")
    worker.ask(keys.load)
    assert worker.call(len, "four") == 4


def test_a_fork_ends_with_its_parent() -> None:
    script = (
        "import os\n"
        "from fleet_agent.programs.worker import Worker\n"
        "worker = Worker.forked()\n"
        "print(worker.call(os.getpid), flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    until(lambda: not Path(f"/proc/{int(done.stdout)}").exists(), "the fork to end")


def test_a_fork_keeps_nothing_open_that_its_parent_has(tmp_path: Path) -> None:
    """An image that follows another is given the state's lock and its sockets: they end with it, killed or not."""
    held = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    worker = Worker.forked()
    assert tmp_path / "lock" not in worker.call(open_files)
    worker.close()
    os.close(held)


def open_files() -> list[Path]:
    return [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]


def test_there_is_no_fork_beside_threads() -> None:
    enough = threading.Event()
    thread = threading.Thread(target=enough.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="fork"):
            Worker.forked()
    finally:
        enough.set()
        thread.join()
