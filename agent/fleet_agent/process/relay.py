"""Goes on without the terminal: what becomes a lesser user must not hold root's.

Whoever holds a terminal can type into it (TIOCSTI), and what is typed there root's shell runs. So the program goes on
in a child with a session and pipes of its own; the process that has the terminal only copies what comes, and hands on
signals and the exit status.
"""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SET_PARENT_DEATH_SIGNAL = 1  # prctl(2)
_CHUNK = 1 << 16

# The standard streams that led to a terminal before, for whoever wants to know whether somebody watches.
_behind: set[int] = set()
# What a change of user undoes, and must be done again after it.
_after_user_change: list[Callable[[], None]] = []


def is_terminal(descriptor: int) -> bool:
    """Whether a stream is a terminal, or leads to one through the process that holds it."""
    return descriptor in _behind or os.isatty(descriptor)


def give_up_terminal(*, stdin: bool = False) -> None:
    """Returns in a child without a terminal, if there is one to give up; this process relays until the child ends.

    Args:
        stdin: Hand on what is typed, too.
    """
    if not _has_terminal():
        return
    end_too = _ending_with(os.getpid())
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    _fill_gaps()
    pipes = [os.pipe() for _ in range(3)]
    (from_stdin, to_stdin), (from_stdout, to_stdout), (from_stderr, to_stderr) = pipes
    terminals = {descriptor for descriptor in range(3) if os.isatty(descriptor)}
    child = os.fork()
    if child:
        for descriptor in (from_stdin, to_stdout, to_stderr):
            os.close(descriptor)
        if not stdin:
            os.close(to_stdin)
        _Relay(child, {from_stdout: 1, from_stderr: 2}, to_stdin if stdin else None).run()
    os.setsid()
    for number, descriptor in enumerate((from_stdin, to_stdout, to_stderr)):
        os.dup2(descriptor, number)
    for descriptor in {descriptor for pipe in pipes for descriptor in pipe} | set(
        _other_terminals()
    ):
        os.close(descriptor)
    _behind.update(terminals)
    _after_user_change.append(end_too)
    end_too()


def end_with_parent() -> None:
    """Ends this process with the one that relays; to be asked for after each change of user, which forgets it."""
    for end_with_it in _after_user_change:
        end_with_it()


def _ending_with(parent: int) -> Callable[[], None]:
    """The call by which a child asks the kernel to end with this process."""
    # Here, as root: the child's user may not be able to read it. And a daemon that systemd starts has no use for it.
    import ctypes

    libc = ctypes.CDLL(None)

    def end_with_it() -> None:
        libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return end_with_it


def _fill_gaps() -> None:
    """Has all three standard streams open, so that no pipe takes the place of one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004
        pass
    os.close(descriptor)


def _has_terminal() -> bool:
    if any(map(os.isatty, _open_descriptors())):
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _open_descriptors() -> Iterator[int]:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are wanted
        with contextlib.suppress(OSError):  # the one of the listing itself
            os.fstat(int(name))
            yield int(name)


def _other_terminals() -> Iterator[int]:
    found = list(_open_descriptors())
    return (number for number in found if number > 2 and os.isatty(number))  # noqa: PLR2004


class _Relay:
    """The process that keeps the terminal."""

    def __init__(self, child: int, outputs: dict[int, int], to_stdin: int | None) -> None:
        self._child = child
        self._outputs = outputs
        self._to_stdin = to_stdin
        self._ended = os.pidfd_open(child)

    def run(self) -> NoReturn:
        """Copies until the child has ended, then ends as it did."""
        for number in _FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._forward)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        try:
            self._copy()
            _, status = os.waitpid(self._child, 0)
        except BaseException:  # noqa: BLE001 - the program goes on in the child alone, whatever fails here
            os._exit(1)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            with contextlib.suppress(OSError):  # SIGKILL has no other
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)

    def _forward(self, number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, number)

    def _copy(self) -> None:
        waiting = select.poll()
        for descriptor in (*self._outputs, self._ended):
            waiting.register(descriptor, select.POLLIN)
        if self._to_stdin is not None:
            waiting.register(0, select.POLLIN)
        is_running = True
        while is_running:
            for descriptor, _ in waiting.poll():
                if descriptor == self._ended:
                    is_running = False
                elif descriptor == 0:
                    self._hand_on_input(waiting)
                elif descriptor in self._outputs and not _copy(
                    descriptor, self._outputs[descriptor]
                ):
                    self._close(waiting, descriptor)
        # What it printed last is in the pipes; a program that it has left behind may hold them open for ever.
        for descriptor, target in self._outputs.items():
            os.set_blocking(descriptor, False)
            while _copy(descriptor, target):
                pass

    def _close(self, waiting: "select.poll", descriptor: int) -> None:
        """Passes on to the child that its output has no reader any more."""
        waiting.unregister(descriptor)
        del self._outputs[descriptor]
        os.close(descriptor)

    def _hand_on_input(self, waiting: "select.poll") -> None:
        try:
            data = os.read(0, _CHUNK)
            if self._to_stdin is not None and data:
                _write_all(self._to_stdin, data)
                return
        except OSError:
            pass
        waiting.unregister(0)
        if self._to_stdin is not None:
            os.close(self._to_stdin)
            self._to_stdin = None


def _copy(source: int, target: int) -> bool:
    """Copies what is there; False when nothing is, or it has no reader."""
    try:
        data = os.read(source, _CHUNK)
        _write_all(target, data)
    except OSError:
        return False
    return bool(data)


def _write_all(target: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(target, left) :]
