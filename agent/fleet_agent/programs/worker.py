"""Calls functions in a worker process, so that the daemon never carries what they import.

The YAML parser and the checks of the configuration take 2 MB of 25, cryptography 6, OpenSSL's hashes 4. The worker is
this Python with this agent. While no other thread lives, at the start, it is a fork, which takes 2 ms. Later it is
started as a program, which takes 60 ms: a fork would copy locks that the SDK's threads hold, and nothing would ever
release them. It takes one call at a time and ends with the process that started it. Calls and answers are pickled and
go through its pipes, so functions are found by name. An ``AgentError`` raised there is raised here.
"""

import contextlib
import os
import pickle
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, NoReturn, ParamSpec, Protocol, TypeVar, cast

from fleet_agent.errors import AgentError, TemporaryError
from fleet_agent.process.starved import ensure_proc

P = ParamSpec("P")
T = TypeVar("T")

# Seconds for a call: less than the watchdog allows, more than a loaded small board needs.
LIMIT = 20.0

# Where this package is found: a development install has a finder instead of a path.
_ROOT = str(Path(__file__).parents[2])

_LENGTH = struct.Struct("!I")


class _Process(Protocol):
    """The part of ``subprocess.Popen`` that is used here."""

    stdin: Any
    stdout: Any

    def kill(self) -> None: ...

    def wait(self) -> object: ...


class Worker:
    """A worker process, started with the first call.

    Args:
        limit: Seconds for a call; then the worker is killed, and another one takes the next.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._process: _Process | None = None
        # Calls whose answers were not read yet.
        self._asked = 0
        self._of = (os.getpid(), os.geteuid())

    @classmethod
    def forked(cls, limit: float = LIMIT) -> "Worker":
        """A worker that is a fork of this process.

        Raises:
            RuntimeError: There are threads already.
        """
        if threading.active_count() > 1:
            raise RuntimeError("a fork beside threads")
        found = cls(limit)
        found._process = _Fork()
        return found

    @property
    def is_of_this_process(self) -> bool:
        """Whether this process made it, as the user that it still is: otherwise the worker has that user's rights."""
        return self._of == (os.getpid(), os.geteuid())

    def ask(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Has the worker call a function without waiting for it: ``answer``, or the next ``call``, waits.

        Raises:
            TemporaryError: The worker cannot be started, or has ended.
        """
        if self._process is None:
            self._process = _started()
        try:
            _write(self._process.stdin, pickle.dumps((function, args, kwargs)))
        except OSError as error:
            self.close()
            raise _failed(str(error)) from error
        self._asked += 1

    def answer(self) -> object:
        """Waits for the call that ``ask`` made last, and returns its result.

        Raises:
            AgentError: What the function raised; or ``TemporaryError``, when nothing came back.
        """
        until = time.monotonic() + self._limit  # noqa: TID251 - a limit of pipes, which no test's clock moves
        data = b""
        try:
            while self._process is not None and self._asked:
                data = _read(self._process.stdout.fileno(), until)
                self._asked -= 1
            is_good, answer = pickle.loads(data)  # noqa: S301 - our own program
        # The last two: what it knows, and this process does not.
        except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError) as error:
            self.close()
            raise _failed(str(error) or "it ended") from error
        if not is_good:
            raise answer
        return cast("object", answer)

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls ``function`` in the worker, and returns its result.

        Raises:
            AgentError: What it raised; or ``TemporaryError``, when nothing came back.
        """
        self.ask(function, *args, **kwargs)
        return cast("T", self.answer())

    def close(self) -> None:
        """Ends the worker."""
        if self._process is None:
            return
        process, self._process, self._asked = self._process, None, 0
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def _started() -> _Process:
    import subprocess

    from fleet_agent.programs import launch

    try:
        process = subprocess.Popen(
            # -P: nothing is imported from the folder that somebody happens to be in. -S: the path is given below,
            # and to work it out again takes a third of the start.
            [sys.executable, "-X", "utf8", "-P", "-S", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, sys.path)])},
            start_new_session=True,
        )
    except OSError as error:
        raise _failed(f"it cannot be started: {error.strerror}") from error
    return launch.keep_from_reaper(process)


class _Fork:
    """A fork of this process that serves calls."""

    def __init__(self) -> None:
        ensure_proc()
        calls, ours = os.pipe()
        theirs, answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _serve_and_end(calls, answers)
        os.close(calls)
        os.close(answers)
        self.stdin = open(ours, "wb", buffering=0)  # noqa: SIM115, PTH123 - a descriptor, closed by ``Worker``
        self.stdout = open(theirs, "rb", buffering=0)  # noqa: SIM115, PTH123

    def kill(self) -> None:
        # Root that became the agent's user may not; the fork ends by itself, as its calls have ended.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> None:
        # As process 1 somebody else may have reaped it.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _serve_and_end(calls: int, answers: int) -> NoReturn:
    """In the fork: serves calls, then exits without running any of the parent's clean-up."""
    status = 1
    try:
        _close_all_but(0, 1, 2, calls, answers)
        os.setsid()
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(2, 1)
        _serve(calls, answers)
        status = 0
    finally:
        os._exit(status)


def _close_all_but(*kept: int) -> None:
    """Closes all other descriptors: the lock and the listening sockets must not outlive the parent."""
    for path in list(Path("/proc/self/fd").iterdir()):
        if (descriptor := int(path.name)) not in kept:
            # The descriptor of the listing itself is closed by now.
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _look_at_code() -> tuple[int, int, int] | None:
    """Identifies this program's file, to notice when it was replaced; None: nothing is there."""
    with contextlib.suppress(OSError):
        found = os.stat(__file__)  # noqa: PTH116 - in each worker, which has no use for more of pathlib
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None


# As it was when this process began.
CODE = _look_at_code()


def _failed(why: str) -> TemporaryError:
    if _look_at_code() != CODE:
        return TemporaryError(
            f"The agent's program was replaced while it runs, as by an upgrade ({_ROOT}): old and new do not work "
            f"together ({why}).",
            remedy="Start the new version: systemctl restart fleet-agent",
            code="program-replaced",
        )
    return TemporaryError(
        f"The agent's worker process ({sys.executable} -m {__name__}) gave no answer: {why}.",
        remedy="The agent tries again. Check the free memory, and the worker's lines in the log.",
        code="program-failed",
    )


def _write(pipe: IO[bytes], data: bytes) -> None:
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        left = left[pipe.write(left) :]


def _read(descriptor: int, until: float) -> bytes:
    """Reads one answer, until ``until`` (monotonic seconds) at most."""
    (length,) = _LENGTH.unpack(_read_exactly(descriptor, _LENGTH.size, until))
    return _read_exactly(descriptor, length, until)


def _read_exactly(descriptor: int, count: int, until: float) -> bytes:
    found = bytearray()
    while len(found) < count:
        left = until - time.monotonic()  # noqa: TID251
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError("its time limit was over")
        chunk = os.read(descriptor, count - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return bytes(found)


def _has_own_hashes() -> bool:
    """Whether hashlib works without OpenSSL: some distributions leave Python's own hashes out."""
    found = [find_spec(name) for name in ("_md5", "_sha1", "_sha3")]
    # SHA-256 is in _sha2 from Python 3.12 on.
    return None not in found and bool(find_spec("_sha2") or find_spec("_sha256"))


def _serve(calls: int, answers: int) -> None:
    """In the worker: serves calls until the pipe ends."""
    if _has_own_hashes():
        # hashlib takes them then: cryptography brings an OpenSSL, and a second one would be 3 MB.
        sys.modules.setdefault("_hashlib", cast("Any", None))
    with open(calls, "rb", buffering=0) as asked, open(answers, "wb", buffering=0) as pipe:
        while head := asked.read(_LENGTH.size):
            (length,) = _LENGTH.unpack(head)
            data = b""
            while len(data) < length:
                data += asked.read(length - len(data))
            function, args, kwargs = pickle.loads(data)  # noqa: S301 - from the agent that started us
            try:
                answer: tuple[bool, object] = (True, function(*args, **kwargs))
            except AgentError as error:
                answer = (False, error)
            _write(pipe, pickle.dumps(answer))


if __name__ == "__main__":
    # What a function prints must not come between the answers.
    pipe_of_answers = os.dup(1)
    os.dup2(2, 1)
    _serve(0, pipe_of_answers)
