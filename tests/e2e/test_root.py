"""Root among users that it must not obey: real commands on a real terminal, beside a real second user."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import awscrt
import pytest

import fleet_agent
from support.seeded import Bench
from support.users import NOBODY

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be careful as root")

AGENT = Path(fleet_agent.__file__).parent.parent
LIBRARIES = Path(awscrt.__file__).parent.parent
# Which other users may run, too; the checkout's own may lie below /root.
PYTHON = "/usr/bin/python3"

# A library that marks that it was loaded, by whom, and types into the terminal if it has one.
EVIL = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
    FILE *mark = fopen("%s", "w");
    int typed = ioctl(0, TIOCSTI, "x") == 0 || ioctl(2, TIOCSTI, "x") == 0;
    fprintf(mark, "uid %%d typed %%d", getuid(), typed);
    fclose(mark);
}
unsigned long C_GetFunctionList(void **table) { (void)table; return 6; }
"""


def on_terminal(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the agent as root with a terminal; its exit status and all that it printed."""
    command = " ".join([PYTHON, "-m", "fleet_agent", *map(str, words)])
    return subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        env={**os.environ, "PYTHONPATH": f"{AGENT}:{LIBRARIES}", "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may pass."""
    folder = Path("/var/tmp") / f"root-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def program() -> None:
    """The agent, run by a Python that another user may run, too."""
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    words += [PYTHON, "-c", "import awscrt.mqtt5, fleet_agent"]
    environment = {"PYTHONPATH": f"{AGENT}:{LIBRARIES}"}
    if subprocess.run(words, env=environment, capture_output=True, check=False).returncode != 0:
        pytest.skip("no Python here that another user may run the checkout with")


@pytest.mark.skipif(shutil.which("cc") is None, reason="builds a library")
def test_the_module_that_the_state_names_is_not_loaded(place: Path) -> None:
    bench = Bench(place / "root")
    mark, module = place / "mark", place / "evil.so"
    source = place / "evil.c"
    source.write_text(EVIL % mark)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", module, source], check=True)
    (bench.current / "private.pem.key").unlink()
    named = {"module": str(module), "token": "t", "pin_file": "/etc/hostname", "label": "l"}
    (bench.current / "key.json").write_text(json.dumps({**named, "is_ours": True}))
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", bench.state_dir], check=True)
    done = on_terminal("doctor", "--config", bench.config)
    assert "which the configuration does not name" in done.stdout
    for verb in (("provision",), ("rotate", "--force"), ("reset", "--yes")):
        on_terminal(*verb, "--as-owner", "--config", bench.config)
    assert not mark.exists(), mark.read_text()


def test_root_does_not_go_on_as_whoever_made_the_folder(place: Path) -> None:
    bench = Bench(place / "root")
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", bench.state_dir], check=True)
    for verb in (("provision",), ("rotate", "--force"), ("reset", "--yes"), ("run",)):
        done = on_terminal(*verb, "--config", bench.config)
        assert "which is neither root nor _fleet-agent" in done.stdout, verb
        assert done.returncode == 78, verb
    assert (bench.state_dir / "credentials").is_dir()


def test_rotate_signals_nobody_whom_the_lock_file_names(place: Path) -> None:
    bench = Bench(place / "root")
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); input()"
    with (
        subprocess.Popen(["sleep", "60"]) as bystander,
        subprocess.Popen(
            [PYTHON, "-c", hold, bench.state_dir / "lock"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as holder,
    ):  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for lie in (str(bystander.pid), "", "0", "1"):
            (bench.state_dir / "lock").write_text(lie)
            done = on_terminal("rotate", "--force", "--config", bench.config)
            assert "does not name the process that holds it" in done.stdout
            assert bystander.poll() is None
        holder.communicate("\n")
        bystander.kill()
