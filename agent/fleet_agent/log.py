"""Where log lines go: the journal with fields under systemd, plain stderr elsewhere. No secret ever gets this far."""

import logging
import os
import sys


def set_up(*, verbose: bool) -> None:
    """Send the agent's log to the journal when stderr is the journal, to stderr otherwise."""
    logger = logging.getLogger("fleet_agent")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    logger.handlers[:] = [_journal_handler() or _stderr_handler()]


def _stderr_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def _journal_handler() -> logging.Handler | None:
    if not _stderr_is_journal():
        return None  # JournalHandler would drop every line silently where no journal listens
    try:
        from systemd.journal import JournalHandler
    except ImportError:
        return None
    handler: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER="fleet-agent")
    return handler


def _stderr_is_journal() -> bool:
    # systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream it connected
    try:
        device, inode = os.environ["JOURNAL_STREAM"].split(":")
        stream = os.fstat(2)
        return (int(device), int(inode)) == (stream.st_dev, stream.st_ino)
    except (KeyError, ValueError, OSError):
        return False
