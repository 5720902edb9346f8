"""What a person at a terminal gets, and a script does not: a line that moves, colour, a wait."""

import re
import subprocess
import threading
from pathlib import Path

from support.agent import COMMAND, STEPS, Agent, environment, run_command
from support.fleets import Fleet


def at_a_terminal(*words: str | Path, **more: str) -> str:
    """What a terminal is sent."""
    done = subprocess.run(
        ["script", "-qec", " ".join(f"'{word}'" for word in (COMMAND, *words)), "/dev/null"],
        env=environment({"TERM": "xterm", **more}),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return done.stdout.decode()


def test_steps_move_on_a_terminal_only(fleet: Fleet, tmp_path: Path) -> None:
    agent = Agent(fleet, tmp_path)
    file = agent.configuration(tmp_path / "config.yaml")
    shown = at_a_terminal("provision", "--config", file, NO_COLOR="1")
    reported = re.findall(r"\x1b\[K *\d+\.\d{3} s  (\w[\w ]*?)  ", shown)
    assert reported == list(STEPS), shown
    assert " s  claim session\r" in shown  # what is waited for, while it is
    assert "\x1b[3" not in shown

    assert run_command("provision", "--config", file).stderr.count("\x1b") == 0
    coloured = at_a_terminal("status", "--config", file)
    assert f"\x1b[1m{agent.thing_name}\x1b[0m: \x1b[31mno agent is running" in coloured


def test_status_waits_until_it_is_connected(fleet: Fleet, tmp_path: Path) -> None:
    agent = Agent(fleet, tmp_path)
    assert agent.status("--wait", "0.3").status == 4
    assert agent.provision().status == 0
    assert agent.status("--wait", "0.3").status == 3

    waited: list[int] = []
    wait = threading.Thread(target=lambda: waited.append(agent.status("--wait", "50").status))
    wait.start()
    with agent.running():
        wait.join(55)
        assert waited == [0]
        first, *rest = run_command("status", "--state-dir", agent.state_dir).stdout.splitlines()
        assert first == f"● {agent.thing_name}: connected as {agent.thing_name}"
        assert any(line.startswith("  readings     ") for line in rest)
        assert any(line.startswith("  daemon       running for ") for line in rest)
