"""Every command of the tutorial, in order, in one shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_of_the_tutorial_works_and_leaves_nothing(
    sandbox: Sandbox, operator: dict[str, str], root_dir: Path, tmp_path: Path
) -> None:
    page = (root_dir / "docs" / "tutorial.md").read_text()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    python = f"{Path(sys.executable).parent}{os.pathsep}{operator['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", script],
        env=operator | {"CA_FILE": str(sandbox.ca_file), "PATH": python},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "hello from the lamp" in done.stdout
    assert not [*tmp_path.iterdir()]
    things = aws_client(sandbox, "iot").list_things()["things"]
    assert "tutorial-lamp" not in [thing["thingName"] for thing in things]
