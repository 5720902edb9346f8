"""The companion as an operator runs it: the launcher, the real ``aws`` and ``openssl``, a sandbox as the account."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_command
from support.companion import Done, FleetCloud


@pytest.fixture(scope="session")
def operator(sandbox: Sandbox) -> dict[str, str]:
    """The environment of a shell with credentials for the sandbox and ``aws`` on PATH."""
    folder = Path(aws_command()).parent
    return os.environ | sandbox.environment | {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def fleet_cloud(root_dir: Path, operator: dict[str, str]) -> FleetCloud:
    """Run ``scripts/fleet-cloud``; ``status`` is how it must end, ``credentials`` whose it runs with."""

    def run(
        *words: str | Path, status: int = 0, credentials: dict[str, str] | None = None
    ) -> Done:
        done = subprocess.run(
            [sys.executable, root_dir / "scripts" / "fleet-cloud", *map(str, words)],
            env=operator | (credentials or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "PRIVATE KEY" not in done.stdout + done.stderr
        return done

    return run
