"""The cloud side of a test: the real ``aws`` command, and botocore where a test asks often."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config

from iot_sandbox.launch import Sandbox


def aws_command() -> str:
    """Gives the ``aws`` command: the one beside this interpreter, or the first on PATH."""
    beside = Path(sys.executable).with_name("aws")
    found = str(beside) if beside.exists() else shutil.which("aws")
    assert found, "the aws command is not installed"
    return found


def aws(sandbox: Sandbox, *arguments: str | Path) -> Any:
    """Runs the real ``aws`` command against a sandbox; gives its JSON answer, or None if it says nothing.

    About 0.7 s a call. Fails the test with the command's own words.
    """
    command = [aws_command(), *map(str, arguments), "--output", "json"]
    done = subprocess.run(
        command,
        env=os.environ | sandbox.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"aws {' '.join(command[1:4])}: {done.stderr.strip()}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def aws_client(sandbox: Sandbox, service: str) -> Any:
    """Gives a botocore client of a service, for instance ``aws_client(sandbox, "iot").list_things()``."""
    # The test process's own AWS settings must not matter.
    settings = sandbox.environment
    return _client(
        service,
        sandbox.http_url,
        settings["AWS_REGION"],
        settings["AWS_CONFIG_FILE"],
        settings["AWS_ACCESS_KEY_ID"],
        settings["AWS_SECRET_ACCESS_KEY"],
    )


@cache  # a client takes 0.2 s to make
def _client(service: str, url: str, region: str, config: str, key: str, secret: str) -> Any:
    session = botocore.session.Session()
    session.set_config_variable("config_file", config)
    session.set_config_variable("profile", "default")
    return session.create_client(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
