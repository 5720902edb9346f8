"""``benchmarks/takeover``: the hook, a thief with the claim, and devices that come back by their own keys."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.thorough)])
def test_nobody_is_taken_over_and_all_come_back(root_dir: Path, count: int) -> None:
    done = subprocess.run(
        [root_dir / "benchmarks" / "takeover", str(count)],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=3500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count // 2} of {count // 2} back by their own keys; odd: 0" in done.stdout
