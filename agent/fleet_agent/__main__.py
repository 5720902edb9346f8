"""``python -m fleet_agent`` and the console command."""

import signal

# Ctrl-C while the rest is imported is a plain end; a shell in the background may have had it ignored.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import logging
import os
import sys
from typing import NoReturn

from fleet_agent import cli
from fleet_agent.process import streams


def main() -> NoReturn:
    """Runs one command and ends at once: tearing the interpreter and the SDK down would take 10 ms for nothing."""
    _in_utf8()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = cli.main()
    logging.shutdown()
    os._exit(status)


def _in_utf8() -> None:
    """Starts again where the locale says otherwise (``LANG=en_US``): paths and programs' arguments are UTF-8."""
    if sys.getfilesystemencoding() != "utf-8":
        options = (
            "-X",
            "utf8",
            "-X",
            f"{streams.CONSOLE}={getattr(sys.stdout, 'encoding', 'ascii')}",
        )
        with contextlib.suppress(OSError):
            os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
