"""A folder of programs that stand where ``aws`` would: only for what AWS says, not for what it does."""

from collections.abc import Callable
from pathlib import Path

import pytest

Programs = Callable[[str, str], Path]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Gives a function that puts a shell script on PATH: its name and its lines."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for name in ("REGION", "DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT_URL_IOT", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)

    def put(name: str, lines: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
        return path

    return put
