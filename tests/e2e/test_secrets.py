"""Where a secret could show: the running agent as others see it; and the check that looks through everything shown."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from iot_sandbox.client import FaultClient
from support.agent import Agent, Daemon
from support.csr import key_pem, make_key
from support.fleets import Fleet
from support.left_behind import leaks_below
from support.secrets import leaks, tokens_of

TOKEN = "Ab-_" * 16


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials" / "0001"
    folder.mkdir(parents=True)
    (folder / "issued.json").write_text(json.dumps({"ownership_token": "short"}))
    (folder / "private.pem.key").write_bytes(key_pem(make_key()))
    return tmp_path


def test_the_files_made_for_secrets_are_no_leak(state_dir: Path) -> None:
    assert leaks([("status", "all well")], [state_dir]) == []


@pytest.mark.parametrize("text", [key_pem(make_key()).decode(), f"token {TOKEN}.", "a short one"])
def test_a_key_or_a_token_is_seen_in_output_and_in_files(state_dir: Path, text: str) -> None:
    assert len(leaks([("provision", text)], [state_dir])) == 1
    (state_dir / "status.json").write_text(text)
    assert len(leaks([], [state_dir])) == 1


def test_certificates_and_their_ids_are_no_secret(state_dir: Path) -> None:
    line = "abcd" * 16
    pem = f"-----BEGIN CERTIFICATE-----\n{line}\n-----END CERTIFICATE-----\n"
    assert leaks([("provision", f"{'0a' * 32}\n{pem}")], [state_dir]) == []


def test_the_last_look_sees_it_too(state_dir: Path) -> None:
    assert list(leaks_below(state_dir)) == []
    below = state_dir / "somewhere"
    below.mkdir()
    (below / "daemon.err").write_text(f"token {TOKEN}.")
    (below / "core.4711").touch()
    found = sorted(leaks_below(below))
    assert [text.partition(":")[0].partition(" in ")[0] for text in found] == [
        "a core dump",
        "an ownership token",
    ]
    shutil.rmtree(below)  # or it would be seen again at the end


# The running agent ----------------------------------------------------------------------------------------------------


def assert_shows_no_secret(daemon: Daemon) -> None:
    """What any program of the same user may look at."""
    process = Path("/proc") / str(daemon.pid)
    shown = [
        (name, (process / name).read_bytes().decode(errors="replace").replace("\0", "\n"))
        for name in ("cmdline", "environ", "comm", "status", "maps")
    ]
    state_dir = daemon.agent.state_dir
    assert leaks(shown, [state_dir]) == []
    for token in tokens_of(state_dir):
        assert all(token not in text for _, text in shown)
    (limit,) = [line for line in (process / "limits").read_text().splitlines() if "core" in line]
    assert limit.split()[4:6] == ["0", "0"]


def test_a_running_agent_as_others_see_it(
    fleet: Fleet, faults: FaultClient, tmp_path: Path
) -> None:
    agent = Agent(fleet, tmp_path)
    faults.add("register-thing", "reject", status_code=500)
    with agent.running("-v") as daemon:
        daemon.wait_for_line("Trying again")  # with the claim, a key and a token in memory
        assert tokens_of(agent.state_dir)
        assert_shows_no_secret(daemon)
        daemon.wait_connected()
        assert_shows_no_secret(daemon)
        assert daemon.end() == 0


def test_a_killed_agent_leaves_no_core(fleet: Fleet, faults: FaultClient, tmp_path: Path) -> None:
    agent = Agent(fleet, tmp_path)
    faults.add("register-thing", "reject", calls="every", status_code=500)
    with agent.running() as daemon:
        daemon.wait_for_line("Trying again")
        assert daemon.end(signal.SIGSEGV) == -signal.SIGSEGV
    assert not [path for path in tmp_path.rglob("core*") if path.is_file()]
