"""One run of another program, watched through the mailbox: nothing blocks, and how it ended is a value.

The program gets ``launch.ENVIRONMENT`` and what is given beside it, no descriptor of the agent's but its three pipes,
and a session of its own, so that its children can be ended with it. What it prints in vain is thrown away, much of it
at a pace that costs little. It is over when the program itself has ended; what its children would still print is not
waited for. Past its time it is asked to end (SIGTERM) and then killed (SIGKILL), with its children. One that outlives
the agent goes on; systemd ends it with the unit.
"""

import contextlib
import enum
import math
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from fleet_agent.clock import Clock
from fleet_agent.process.mailbox import WRITING, Mailbox
from fleet_agent.programs import launch
from fleet_agent.record import record

GRACE = 2.0  # seconds between SIGTERM and SIGKILL, and again until it is left to itself
_CHUNK = 64 * 1024  # bytes, a pipe's usual capacity
_FREE = 16 << 20  # bytes thrown away as fast as they come
# Seconds between two reads from then on: 3 MB a second, and the program waits meanwhile.
_PAUSE = 0.02
# After the end: a pipe's largest capacity, and no more, should others still write.
_LAST_READS = 16


# Those that cannot be killed.
_abandoned: list[object] = []


class Cause(enum.Enum):
    """Why a program ended."""

    ENDED = "ended"  # by itself, whatever its exit status
    TIMEOUT = "timeout"
    TOO_MUCH = "too-much-output"
    NOT_STARTED = "not-started"


@record
class Ended:
    """The end of a run.

    ``status``: the exit status, negative for a signal; None when it was not started or could not be ended.
    ``output``: its stdout, of at most ``limit`` bytes; ``is_cut``: there was more. ``errors``: the tail of its stderr.
    ``words``: what went wrong, to follow the program's name, with the last line of its stderr; None for exit status 0.
    """

    cause: Cause
    status: int | None
    output: bytes
    is_cut: bool
    words: str | None
    errors: bytes = b""


class Child:
    """A program that runs. Its owner calls ``act`` when ``due`` has passed; ``on_end`` is called once, later.

    Args:
        argv: The program, absolute or found along the usual PATH, and its arguments; no shell.
        mailbox: Where its pipes and its end are watched.
        clock: For the time limit.
        stdin: What it can read.
        limit: Bytes of stdout.
        timeout: Seconds.
        environment: Variables beside the clean ones.
        on_end: Receives how it ended; on the deciding thread, never from within the constructor.
        cuts: Whether what it prints beyond the limit is thrown away; else it is ended for that.
    """

    def __init__(  # noqa: PLR0913 - all named
        self,
        argv: Sequence[str],
        *,
        mailbox: Mailbox,
        clock: Clock,
        stdin: bytes,
        limit: int,
        timeout: float,
        environment: Mapping[str, str],
        on_end: Callable[[Ended], None],
        cuts: bool = False,
    ) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._stdin = memoryview(stdin)
        self._limit = limit
        self._timeout = timeout
        self._on_end = on_end
        self._cuts = cuts
        self._output = bytearray()
        self._errors = b""
        self._is_cut = False
        self._cause: Cause | None = None  # why it was asked to end
        self._is_killed = False
        self._is_over = False
        self._failure: str | None = None
        self._pipes: set[IO[bytes]] = set()
        self._end: int | None = None  # becomes readable when the program has ended
        self._process: subprocess.Popen[bytes] | None = None
        self._wasted = 0  # bytes thrown away
        self._paused: dict[IO[bytes], Callable[[], object]] = {}  # what is read again, and by what
        self._again_at = math.inf
        self._ends_at = clock.monotonic() + timeout
        try:
            self._process = launch.start(argv, environment=environment, has_stdin=bool(stdin))
            self._watch(self._process)
        # Not found, no right, no memory, or no descriptor left.
        except (OSError, ValueError) as error:
            self._failure = f"cannot be started: {getattr(error, 'strerror', None) or error}"
            self._ends_at = clock.monotonic()

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min(self._ends_at, self._again_at)

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._pipes.add(pipe)
        self._end = os.pidfd_open(process.pid)
        self._mailbox.watch(self._end, self._ended)
        if process.stdin is not None:
            self._mailbox.watch(process.stdin.fileno(), self._write, WRITING)
        if process.stdout is not None:
            self._mailbox.watch(process.stdout.fileno(), self._read_output)
        if process.stderr is not None:
            self._mailbox.watch(process.stderr.fileno(), self._read_errors)

    def act(self) -> None:
        """Handles a deadline: its time limit, a failed start, or the pause of its output."""
        if self._again_at <= self._clock.monotonic() < self._ends_at:
            self._go_on()
        elif self._failure is not None:
            self.kill()
            self._report(Cause.NOT_STARTED, None, self._failure)
        elif self._has_ended():  # in time, though we come late
            self._ended()
        elif self._cause is None:
            self._stop(Cause.TIMEOUT)
        elif not self._is_killed:
            self._is_killed = True
            self._ends_at = self._clock.monotonic() + GRACE
            self._signal(signal.SIGKILL)
        else:  # it hangs in the kernel, or is another user's
            self._let_go()
            _abandoned.append(self._process)
            self._report(self._cause, None, self._why() + " and cannot be killed")

    def kill(self) -> None:
        """Ends it now, with its children; ``on_end`` is not called. Once it has ended this does nothing."""
        if not self._is_over:
            self._signal(signal.SIGKILL)
            self._let_go()
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(GRACE)

    # What its descriptors have to say -------------------------------------------------------------------------------

    def _write(self) -> None:
        pipe = self._process.stdin if self._process else None
        if pipe is None:
            return
        try:
            self._stdin = self._stdin[os.write(pipe.fileno(), self._stdin[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not read: its right
            self._stdin = self._stdin[:0]
        if not self._stdin:
            self._close(pipe)

    def _read_output(self) -> bool:
        chunk = self._read(self._process.stdout if self._process else None)
        room = self._limit - len(self._output)
        self._output += chunk[:room]
        if len(chunk) > room:
            self._is_cut = True
            self._waste(
                len(chunk) - room,
                self._process.stdout if self._process else None,
                self._read_output,
            )
            if not self._cuts and self._cause is None:
                self._stop(Cause.TOO_MUCH)
        return bool(chunk)

    def _read_errors(self) -> bool:
        chunk = self._read(self._process.stderr if self._process else None)
        self._waste(len(chunk), self._process.stderr if self._process else None, self._read_errors)
        self._errors = (self._errors + chunk)[-launch.ERROR_BYTES :]
        return bool(chunk)

    def _read(self, pipe: IO[bytes] | None) -> bytes:
        """Reads what is available; nothing if it is closed or empty."""
        if pipe is None or pipe not in self._pipes:
            return b""
        try:
            chunk = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        if not chunk:
            self._close(pipe)
        return chunk

    def _waste(self, count: int, pipe: IO[bytes] | None, read: Callable[[], object]) -> None:
        """Counts what is thrown away of a pipe, and leaves it alone for a moment where that is much."""
        self._wasted += count
        if self._wasted > _FREE and pipe in self._pipes and pipe is not None:
            self._mailbox.unwatch(pipe.fileno())
            self._paused[pipe] = read
            self._again_at = self._clock.monotonic() + _PAUSE

    def _go_on(self) -> None:
        self._again_at = math.inf
        paused, self._paused = self._paused, {}
        for pipe, read in paused.items():
            self._mailbox.watch(pipe.fileno(), read)

    def _has_ended(self) -> bool:
        if self._end is None:
            return False
        return os.waitid(os.P_PIDFD, self._end, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _ended(self) -> None:
        if self._process is None:
            return
        if self._cause is not None:  # its children, too
            self._signal(signal.SIGKILL)
        for read in (self._read_output, self._read_errors):
            for _ in range(_LAST_READS):
                if not read():
                    break
        status = self._process.wait()
        self._let_go()
        if self._cause is not None:
            self._report(self._cause, status, self._why())
        else:
            self._report(Cause.ENDED, status, launch.ending(status) if status else None)

    # Ends -------------------------------------------------------------------------------------------------------------

    def _stop(self, cause: Cause) -> None:
        self._cause = cause
        self._ends_at = self._clock.monotonic() + GRACE
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            launch.signal_group(self._process, number)

    def _why(self) -> str:
        if self._cause is Cause.TOO_MUCH:
            return f"prints more than {self._limit} bytes"
        return f"did not end within {self._timeout:g} s"

    def _report(self, cause: Cause, status: int | None, words: str | None) -> None:
        self._on_end(
            Ended(
                cause=cause,
                status=status,
                output=bytes(self._output),
                is_cut=self._is_cut,
                errors=self._errors,
                words=None if words is None else words + launch.last_line(self._errors),
            )
        )

    def _let_go(self) -> None:
        self._is_over = True
        self._ends_at = self._again_at = math.inf
        for pipe in list(self._pipes):
            self._close(pipe)
        if self._end is not None:
            self._mailbox.unwatch(self._end)
            os.close(self._end)
            self._end = None

    def _close(self, pipe: IO[bytes]) -> None:
        self._pipes.discard(pipe)
        self._paused.pop(pipe, None)
        self._mailbox.unwatch(pipe.fileno())
        with contextlib.suppress(OSError):
            pipe.close()
