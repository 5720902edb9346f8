import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import fleet_agent
from fleet_agent.errors import StateDirectoryError
from fleet_agent.statedir.lock import take_lock
from fleet_agent.statedir.owner import become_owner
from support.users import NOBODY


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else takes root")
def test_root_goes_on_as_the_packages_user_or_as_told() -> None:
    """Whoever makes a folder does not decide as whom root's command runs."""
    code = (
        "import os, sys; from pathlib import Path; from fleet_agent.statedir import owner; "
        "os.access = lambda *_: True\n"
        "owner.become_owner(Path(sys.argv[1]), any_owner=len(sys.argv) > 2); print(os.getuid())"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)

        def run(*more: str) -> subprocess.CompletedProcess[str]:
            words = [sys.executable, "-c", code, folder, *more]
            return subprocess.run(
                words, capture_output=True, text=True, check=False, start_new_session=True
            )

        assert "which is neither root nor _fleet-agent" in run().stderr
        assert run("any").stdout == f"{NOBODY}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else takes root")
def test_root_is_not_led_by_another_users_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        (Path(folder) / "state").symlink_to(tmp_path / "mine")
        for use in (become_owner, take_lock):
            with pytest.raises(StateDirectoryError):
                use(Path(folder) / "state")
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else takes root")
def test_an_owner_who_may_not_read_the_program_is_told(tmp_path: Path) -> None:
    """Whoever owns the state would meet a traceback with the first import."""
    program = tmp_path / "agent"  # below pytest's folder, which is root's alone
    shutil.copytree(Path(fleet_agent.__file__).parent, program / "fleet_agent")
    words = ["provision", "--json", "--endpoint", "a.example", "--cert", "c", "--key", "k"]
    words += ["--template-name", "t", "--template-parameters", "{}"]
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        done = subprocess.run(
            [sys.executable, "-m", "fleet_agent", *words, "--state-dir", folder],
            env=os.environ | {"PYTHONPATH": str(program)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 78, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "program-unreadable"
    assert "Traceback" not in done.stderr
