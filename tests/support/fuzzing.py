"""How much to fuzz: ``python -m pytest tests/fuzz --fuzz 100``."""

import os

TIMES = int(os.environ.get("FUZZ", "1"))
