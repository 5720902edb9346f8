"""Where log lines go: the journal with fields under systemd, plain stderr elsewhere. No secret ever gets this far.

The journal's own protocol is one datagram a line (docs/decisions/0007-journal-and-notify.md says why it is written
here). What stays the same from line to line is set once, with ``about``; what belongs to one line goes along with it:

    log.about(step="register", attempt=1)
    _log.warning("refused", extra=log.fields(Moment.PROBLEM, problem="not-allowed"))
"""

import contextlib
import enum
import logging
import os
import socket
import struct
import sys

from fleet_agent.clock import Clock, SystemClock
from fleet_agent.printable import line as printable

MOST = 100  # lines of a kind ...
WINDOW = 60.0  # ... in so many seconds: what others send decides how many there would be

JOURNAL_SOCKET = "/run/systemd/journal/socket"


class Moment(enum.Enum):
    """What operators search for: MESSAGE_IDs, each explained in systemd/fleet-agent.catalog; never change one."""

    PROVISIONED = "0b32aaa55ef442f8ab068f1227df2d02"
    WAITING = "999f2cc9640648109861557dd91050d7"
    CONNECTED = "fef4d7da22034c629c1f906d36edd3b3"
    PROBLEM = "64120fe622a44a66ace5ed9eadc0d65f"
    FAILED = "b944a984904044fd81c92f5f119febb0"
    ROTATED = "9d6a3fd0a3cf4b5f8a2f3c1e5b7d4a61"
    RELOADED = "5c1f8e0b7e1d4f7c9b0a6d2e8f3c5b17"
    RESTARTED = "e27b4c9d1a5f4e63b8d07c6f92a1d3b8"
    RECOVERED = "7d3a95c06b1e4f28a4c9e1f05b8d2c76"
    MOVED = "3f4d17afec634bbf853f6da8f103319c"
    HARDWARE_TOKEN_BACK = "a4823ee9131840d4bc4458c8b4deba36"  # noqa: S105 - a MESSAGE_ID
    TOPICS_CHANGED = "5b80c35f6704409f92c550ed194b0cc4"


# Field of the journal → its value, for every line from now on.
_about: dict[str, str] = {}


def _named(**values: object) -> dict[str, str]:
    return {f"FLEET_AGENT_{name.upper()}": str(value) for name, value in values.items() if value}


def about(**values: object) -> None:
    """Puts what goes on now beside every line that follows; None takes a field away.

    The names are ``step``, ``attempt`` (its generation), ``tries``, ``certificate_id``, ``thing``, ``problem``.
    """
    for name in values:
        _about.pop(f"FLEET_AGENT_{name.upper()}", None)
    _about.update(_named(**values))


def fields(moment: Moment | None = None, **values: object) -> dict[str, dict[str, str]]:
    """Gives what one line has beside the text, for ``extra=`` of a logging call."""
    found = _named(**values)
    return {"journal": found | {"MESSAGE_ID": moment.value} if moment else found}


def set_up(*, verbose: bool) -> None:
    """Sends the agent's log to the journal when stderr is the journal, to stderr otherwise."""
    logger = logging.getLogger("fleet_agent")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    handler = JournalHandler() if is_journal() else _stderr_handler()
    if not verbose:
        handler.addFilter(Few(SystemClock()))
    logger.handlers[:] = [handler]


def failed(words: str, *, problem: str, step: str | None) -> bool:
    """Logs to the journal why the command ends; False when there is no journal."""
    if not is_journal():
        return False
    set_up(verbose=False)
    about(step=step)
    logging.getLogger(__name__).error("%s", words, extra=fields(Moment.FAILED, problem=problem))
    return True


class Few(logging.Filter):
    """Lets so many lines of a kind pass in a while; the next one to pass has the number of those that did not."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        # Of each kind: when its window ends (monotonic seconds), and the lines in it.
        self._kinds: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes."""
        kind, now = str(record.msg), self._clock.monotonic()
        end, count = self._kinds.get(kind, (now, 0))
        if now >= end:
            if count > MOST:
                record.msg = f"{kind} ({count - MOST} such lines were left out before)"
            end, count = now + WINDOW, 0
        count += 1
        if count == MOST:
            record.msg = f"{kind} (such lines are left out for the rest of {WINDOW:g} s)"
        self._kinds[kind] = end, count
        return count <= MOST


class _Formatter(logging.Formatter):
    """Messages as they leave the program: whatever others' words are in them, each is a line and harmless."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own
        """The message; a traceback follows below it as it is."""
        return printable(record.message)


class _EntryFormatter(logging.Formatter):
    """The same for the journal, where an entry may have several lines and none of them looks like another entry."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own
        """The message, its lines kept."""
        return "\n".join(map(printable, record.message.split("\n")))


def _stderr_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    return handler


def is_journal() -> bool:
    """Whether stderr leads to the journal: elsewhere what is sent to its socket would not be seen."""
    # systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream it connected
    try:
        device, inode = os.environ["JOURNAL_STREAM"].split(":")
        stream = os.fstat(2)
        return (int(device), int(inode)) == (stream.st_dev, stream.st_ino)
    except (KeyError, ValueError, OSError):
        return False


class JournalHandler(logging.Handler):
    """Sends each line to the journal; to stderr, which the journal reads too, what it would not take.

    Args:
        path: Its socket.
    """

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.setFormatter(_EntryFormatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one line."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of logging: a bad format string stops nothing
            self.handleError(record)
            return
        entry = {
            "MESSAGE": text,
            "PRIORITY": str(_priority(record.levelno)),
            "SYSLOG_IDENTIFIER": "fleet-agent",
            "LOGGER": record.name,
            **_about,
            **getattr(record, "journal", {}),
        }
        try:
            self._socket.sendto(b"".join(_field(*item) for item in entry.items()), self._path)
        except OSError:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"{text}\n")

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    """Encodes a field of the native protocol: with its length if it has several lines."""
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)


def _priority(level: int) -> int:
    """The level as syslog counts."""
    if level >= logging.ERROR:
        return 3
    if level >= logging.WARNING:
        return 4
    return 6 if level >= logging.INFO else 7
