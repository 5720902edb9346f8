"""What a program prints, as a value: no shell, a clean environment, bounded in time and size."""

import os
import selectors
import signal
import subprocess
from collections.abc import Sequence

from fleet_agent.clock import SystemClock
from fleet_agent.device.finding import Finding, NothingFoundError
from fleet_agent.programs import launch

# A value has at most 4096 characters, of at most four bytes each.
MAX_BYTES = 16 * 1024


def command(argv: Sequence[str], timeout: float) -> Finding:
    """Runs a program and takes what it prints on stdout.

    Args:
        argv: The program, absolute or found along the usual PATH, and its arguments.
        timeout: Seconds until it and its children are killed.
    """
    source = f"command:{argv[0]}"
    try:
        child = launch.start(argv)
    except OSError as error:
        raise NothingFoundError(f"{source} cannot be started: {error.strerror}") from error
    with child:
        try:
            output, errors = _Collected(child, source, timeout).all()
        except BaseException:
            launch.signal_group(child, signal.SIGKILL)
            raise
    if child.returncode != 0:
        raise NothingFoundError(
            f"{source} {launch.ending(child.returncode)}{launch.last_line(errors)}"
        )
    try:
        return Finding(output.decode().strip(), source)
    except UnicodeDecodeError as error:
        raise NothingFoundError(f"{source} prints something that is not UTF-8") from error


class _Collected:
    """Both outputs of a child, read as they come, so that neither can fill a pipe or memory."""

    def __init__(self, child: "subprocess.Popen[bytes]", source: str, timeout: float) -> None:
        self._child = child
        self._source = source
        self._timeout = timeout
        self._clock = SystemClock()
        self._deadline = self._clock.monotonic() + timeout
        self._output = b""
        self._errors = b""

    def all(self) -> tuple[bytes, bytes]:
        """Waits until both are closed and the child has ended; returns stdout and stderr's end."""
        with selectors.DefaultSelector() as selector:
            for pipe in (self._child.stdout, self._child.stderr):
                if pipe:
                    selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(self._left())
                for key, _ in ready:
                    chunk = os.read(key.fd, MAX_BYTES)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    self._take(chunk, is_output=key.fileobj is self._child.stdout)
        try:
            self._child.wait(self._left())
        except subprocess.TimeoutExpired:
            raise self._late() from None
        return self._output, self._errors

    def _left(self) -> float:
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def _late(self) -> NothingFoundError:
        words = f"{self._source} did not end within {self._timeout:g} s"
        return NothingFoundError(words + launch.last_line(self._errors))

    def _take(self, chunk: bytes, *, is_output: bool) -> None:
        if not is_output:
            self._errors = (self._errors + chunk)[-launch.ERROR_BYTES :]
            return
        self._output += chunk
        if len(self._output) > MAX_BYTES:
            raise NothingFoundError(f"{self._source} prints more than {MAX_BYTES} bytes")
