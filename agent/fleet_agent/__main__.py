"""``python -m fleet_agent`` and the console command."""

import signal

# Ctrl-C while the rest is imported is a plain end; a shell in the background may have had it ignored.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import logging
import os
from typing import NoReturn

from fleet_agent import cli


def main() -> NoReturn:
    """Runs one command and ends at once: tearing the interpreter and the SDK down would take 10 ms for nothing."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = cli.main()
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    main()
