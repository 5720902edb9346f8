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
        line[:50].strip(): float(line[66:75])
        for line in done.stdout.splitlines()
        if line.startswith("  ") and line[50:66].strip("0123456789. ") == "" and line[2:50].strip()
    }
    assert requests["right spread"] < 3
    assert requests["spread ten times too small"] < 12
    assert requests["fixed 5 s, no spread"] > 12
    hook = {
        line[:50].strip(): (float(line[107:113]), int(line[113:120]))
        for line in done.stdout.splitlines()
        if line[:50].strip() in requests
    }
    # Describe, and create or update: of the registry's quotas a tenth at most, so that none of them is ever the bound.
    assert hook["right spread"] == hook["half of them revoked at once"] == (2.0, 0)
    calls, failed = hook["… a twentieth of the registry's quotas left"]
    assert failed > 0
    assert calls < 4
