"""``python -m fleet_agent`` and the console command."""

import logging
import os
from typing import NoReturn

from fleet_agent import cli


def main() -> NoReturn:
    """Runs one command and ends at once: tearing the interpreter and the SDK down would take 10 ms for nothing."""
    status = cli.main()
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    main()
