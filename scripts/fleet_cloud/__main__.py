"""``python -m fleet_cloud``, for where the launcher is not at hand."""

import sys

from fleet_cloud.cli import program

sys.exit(program())
