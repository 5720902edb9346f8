import os
import subprocess
import sys
from pathlib import Path


def test_a_fitting_spread_meets_its_aims_and_the_peers_do_not(root_dir: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.herd", "--quick"]
    done = subprocess.run(
        command,
        cwd=root_dir,
        env=os.environ | {"PYTHONPATH": str(root_dir / "scripts")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    requests = {
        line[:44].strip(): float(line[60:69])
        for line in done.stdout.splitlines()
        if line.startswith("  ") and line[44:60].strip("0123456789. ") == "" and line[2:44].strip()
    }
    assert requests["spread that fits"] < 3
    assert requests["spread ten times too small"] < 12
    assert requests["fixed 5 s, no spread"] > 12
