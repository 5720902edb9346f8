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
    aws, *others = operator["PATH"].split(os.pathsep)
    path = os.pathsep.join([aws, str(Path(sys.executable).parent), *others])
    # What the page has its reader export, and nothing else of AWS.
    said = ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {
        name: value
        for name, value in operator.items()
        if name in said or not name.startswith("AWS_")
    }
    done = subprocess.run(
        ["sh", "-euc", script],
        env=environment | {"CA_FILE": str(sandbox.ca_file), "PATH": path, "HOME": str(tmp_path)},
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
    users = aws_client(sandbox, "iam").list_users()["Users"]
    assert "tutorial-operator" not in [user["UserName"] for user in users]
