"""The last look: everything that the tests of this run left in their folders, searched for secrets."""

from collections.abc import Iterator
from pathlib import Path

from support.secrets import SECRET_FILES, secrets_in

# Logs, answers, states and databases; what a test itself wrote as a key has another name.
_SHOWN = (".err", ".out", ".log", ".json", ".jsonl", ".sqlite3", ".sqlite3-wal", ".txt", ".yaml")
_CORE = "core"
# The sandbox's own store plays AWS; two tests paste a key where none belongs, to see it noticed.
_MEANT = ("iot.json", "test_a_key_or_a_token_is_seen", "test_a_private_key_pasted_into")


def leaks_below(folder: Path) -> Iterator[str]:
    """Every file below that shows a secret, and every core dump."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file() or _is_meant(path):
            continue
        if path.name == _CORE or path.name.startswith(f"{_CORE}."):
            yield f"a core dump: {path}"
        elif path.name.endswith(_SHOWN) and path.name not in SECRET_FILES:
            for kind in secrets_in(path.read_text(errors="replace")):
                yield f"{kind} in {path}"


def _is_meant(path: Path) -> bool:
    return any(part.startswith(_MEANT) for part in path.parts)
