"""Calls functions in a program beside this one, so that the daemon never carries what they import.

The YAML parser and the checker of the configuration are 2 MB of 25, cryptography 6, OpenSSL's hashes 4. The program is
this Python with this agent; it is started, not forked, since the SDK's threads may live. It takes one call after the
other and ends with the process that started it. Functions, arguments and answers go through its pipes, so functions are
found by name and all must be picklable; an ``AgentError`` comes back as that error.
"""

import os
import pickle
import select
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar, cast

from fleet_agent.errors import AgentError, TemporaryError

P = ParamSpec("P")
T = TypeVar("T")

# Seconds for a call: less than the watchdog allows, more than a loaded small board needs.
LIMIT = 20.0

# Where this package is found: a development install has a finder instead of a path.
_ROOT = str(Path(__file__).parents[2])

_LENGTH = struct.Struct("!I")


class Aside:
    """A program that calls functions; started with the first call, or by ``start`` when there is time for it.

    Args:
        limit: Seconds for a call; the program is ended then, and another one takes the next.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._process: Any = None
        # Answers to what was prepared, which come first.
        self._unread = 0

    def start(self) -> None:
        """Start the program, if it does not run yet.

        Raises:
            TemporaryError: It cannot be started.
        """
        if self._process is not None:
            return
        import subprocess

        from fleet_agent.programs import launch

        try:
            process = subprocess.Popen(
                # -P: nothing is imported from the folder that somebody happens to be in. -S: the path is given below,
                # and to work it out again takes a third of the start.
                [sys.executable, "-P", "-S", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, sys.path)]),
                },
                start_new_session=True,
            )
        except OSError as error:
            raise _failed(f"it cannot be started: {error.strerror}") from error
        self._process = launch.waited_for(process)

    def prepare(self, function: Callable[[], object]) -> None:
        """Have the program call this while nothing is asked of it; what comes of it is not waited for.

        Raises:
            TemporaryError: The program cannot be started.
        """
        self.start()
        try:
            _write(self._process.stdin, pickle.dumps((function, (), {})))
        except OSError as error:
            self.close()
            raise _failed(str(error)) from error
        self._unread += 1

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``function`` returns there.

        Raises:
            AgentError: What it raised; or ``TemporaryError``, when nothing came back.
        """
        self.start()
        until = time.monotonic() + self._limit  # noqa: TID251 - a limit of pipes, which no test's clock moves
        try:
            _write(self._process.stdin, pickle.dumps((function, args, kwargs)))
            descriptor = self._process.stdout.fileno()
            while self._unread:
                _read(descriptor, until)
                self._unread -= 1
            is_good, answer = pickle.loads(_read(descriptor, until))  # noqa: S301 - our own program
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            self.close()
            raise _failed(str(error) or "it ended") from error
        if not is_good:
            raise answer
        return cast("T", answer)

    def close(self) -> None:
        """End the program."""
        if self._process is None:
            return
        process, self._process, self._unread = self._process, None, 0
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def _failed(why: str) -> TemporaryError:
    return TemporaryError(
        f"The program beside the agent ({sys.executable} -m {__name__}) gave no answer: {why}.",
        remedy="It is tried again. Look at the memory that is left, and at its lines in the log.",
        code="program-failed",
    )


def _write(pipe: IO[bytes], data: bytes) -> None:
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        left = left[pipe.write(left) :]


def _read(descriptor: int, until: float) -> bytes:
    """One answer; None of it is waited for beyond ``until`` (monotonic seconds)."""
    (length,) = _LENGTH.unpack(_read_exactly(descriptor, _LENGTH.size, until))
    return _read_exactly(descriptor, length, until)


def _read_exactly(descriptor: int, count: int, until: float) -> bytes:
    found = bytearray()
    while len(found) < count:
        left = until - time.monotonic()  # noqa: TID251
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError("its time was over")
        chunk = os.read(descriptor, count - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return bytes(found)


def _serve() -> None:
    """In the program: take calls until the pipe ends."""
    # What a function prints must not come between the answers.
    answers = os.dup(1)
    os.dup2(2, 1)
    with open(0, "rb", buffering=0) as calls, open(answers, "wb", buffering=0) as pipe:  # noqa: PTH123 - descriptors
        while head := calls.read(_LENGTH.size):
            (length,) = _LENGTH.unpack(head)
            data = b""
            while len(data) < length:
                data += calls.read(length - len(data))
            function, args, kwargs = pickle.loads(data)  # noqa: S301 - from the agent that started us
            try:
                answer: tuple[bool, object] = (True, function(*args, **kwargs))
            except AgentError as error:
                answer = (False, error)
            _write(pipe, pickle.dumps(answer))


if __name__ == "__main__":
    _serve()
