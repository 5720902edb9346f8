"""``python -m fleet_acceptance``, as ``scripts/acceptance`` starts it."""

import sys

from fleet_acceptance.cli import main

sys.exit(main())
