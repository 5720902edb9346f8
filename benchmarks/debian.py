"""What a benchmark needs of Debian; once its arguments are read, for ``--help`` needs nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def install(*packages: str) -> None:
    """Have them on this machine.

    Raises:
        SystemExit: They cannot be; stderr says why.
    """
    words = ["bash", "-c", '. "$1"; shift; apt_install "$@"', "benchmarks"]
    words += [str(ROOT / "scripts" / "environment"), *packages]
    if status := subprocess.run(words, check=False, stdout=sys.stderr).returncode:
        sys.exit(status)
