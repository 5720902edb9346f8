"""Tab in real shells: bash always, zsh and fish where they are installed."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "LC_ALL": "C.UTF-8"}


@pytest.fixture
def scripts(root_dir: Path) -> Path:
    return root_dir / "packaging/completion"


def in_bash(script: Path, line: str, folder: Path) -> set[str]:
    """What bash offers for the last word of a line."""
    words = " ".join(f"'{word}'" for word in line.split(" "))
    ask = f"""
        source {script}
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
        how=$(complete -p fleet-agent); how=${{how#*-F }}; how=${{how%% *}}
        $how fleet-agent "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", ask],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=ENVIRONMENT,
    )
    assert not done.stderr
    return {word.strip() for word in done.stdout.splitlines() if word.strip()}


def test_bash(scripts: Path, tmp_path: Path) -> None:
    script = scripts / "fleet-agent.bash"
    (tmp_path / "claim.pem.crt").touch()
    assert {"run", "provision", "status", "config"} <= in_bash(script, "fleet-agent ", tmp_path)
    assert in_bash(script, "fleet-agent prov", tmp_path) == {"provision"}
    assert in_bash(script, "fleet-agent provision --time", tmp_path) == {"--timeout"}
    assert in_bash(script, "fleet-agent config sch", tmp_path) == {"schema"}
    assert in_bash(script, "fleet-agent provision --method c", tmp_path) == {"csr"}
    assert in_bash(script, "fleet-agent provision --cert cl", tmp_path) == {"claim.pem.crt"}
    hidden = in_bash(script, "fleet-agent provision --c", tmp_path)
    assert {"--csr", "--csr-key", "--cert", "--config", "--ca-file"} - {"--ca-file"} <= hidden
    assert "--csr_file" not in hidden


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish(scripts: Path, tmp_path: Path) -> None:
    def offers(line: str) -> set[str]:
        ask = f"source {scripts / 'fleet-agent.fish'}; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", ask],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env=ENVIRONMENT | {"HOME": str(tmp_path)},
        )
        return {line.partition("\t")[0] for line in done.stdout.splitlines()}

    assert offers("fleet-agent prov") == {"provision"}
    assert offers("fleet-agent provision --time") == {"--timeout"}
    assert offers("fleet-agent config sch") == {"schema"}
    assert offers("fleet-agent provision --method c") == {"csr"}


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh(scripts: Path, tmp_path: Path) -> None:
    functions = tmp_path / "functions"
    functions.mkdir()
    shutil.copy(scripts / "fleet-agent.zsh", functions / "_fleet-agent")
    child, terminal = pty.fork()
    if child == 0:
        os.execve("/usr/bin/zsh", ["zsh", "-f", "-i"], ENVIRONMENT | {"HOME": str(tmp_path)})
    try:
        setup = f"unsetopt zle_bracketed_paste; fpath=({functions} $fpath); autoload -U compinit; compinit -u -D"
        os.write(terminal, f"{setup}; PS1='re''ady> '\n".encode())
        assert _shown(terminal, "ready> ")
        for typed, word in (
            ("fleet-agent prov\t", "provision"),
            ("fleet-agent config sch\t", "schema"),
            ("fleet-agent provision --time\t", "--timeout"),
        ):
            os.write(terminal, typed.encode())
            assert _shown(terminal, word)
            os.write(terminal, b"\x15")
    finally:
        os.write(terminal, b"\x15exit\n")
        os.close(terminal)
        os.waitpid(child, 0)


def _shown(terminal: int, word: str, limit: float = 30.0) -> bool:
    """Whether a word appears on the terminal."""
    seen, end = "", time.monotonic() + limit
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
        if word in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x08", "", seen):
            return True
    raise AssertionError(f"no {word!r} in {seen!r}")
