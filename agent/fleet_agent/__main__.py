"""``python -m fleet_agent`` and the console command."""

import sys

from fleet_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
