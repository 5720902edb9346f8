"""The companion as an operator runs it: the launcher, the real ``aws`` and ``openssl``, a sandbox as the account."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.companion import Done, FleetCloud
from support.warm_aws import warm_aws


@pytest.fixture(scope="session")
def operator(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a shell with credentials for the sandbox and ``aws`` on PATH."""
    with warm_aws(tmp_path_factory.mktemp("aws")) as folder:
        yield os.environ | sandbox.environment | {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def fleet_cloud(root_dir: Path, operator: dict[str, str]) -> FleetCloud:
    """Runs ``scripts/fleet-cloud``; ``status`` is how it must end, ``credentials`` whose it runs with."""

    def run(
        *words: str | Path, status: int = 0, credentials: dict[str, str] | None = None
    ) -> Done:
        done = subprocess.run(
            [sys.executable, root_dir / "scripts" / "fleet-cloud", *map(str, words)],
            env=operator | (credentials or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "PRIVATE KEY" not in done.stdout + done.stderr
        return done

    return run
