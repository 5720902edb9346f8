"""No secret in anything shown: neither in what commands wrote nor in a file that is not made to hold it."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

# The files that hold a secret by design: 0600, and the ownership token is erased once proven.
SECRET_FILES = {"private.pem.key", "issued.json", "credentials-http.key"}
KEY = "PRIVATE KEY-----"

# The sandbox's ownership tokens are 64 characters of URL-safe base64; certificate ids are 64 hex digits.
_TOKEN = re.compile(r"(?<![\w-])(?![0-9a-f]{64}(?![\w-]))[\w-]{64}(?![\w-])", re.ASCII)
# What its AWS credentials end in.
_SESSION_TOKEN = re.compile(r"FwoGZX[0-9a-f]{32}")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def secrets_in(text: str, tokens: Iterable[str] = ()) -> list[str]:
    """Names the kinds of secret in a text; never the secret itself, which would go into the test's report."""
    if KEY in text:
        return ["a private key"]  # whose lines look like tokens
    without = _CERTIFICATE.sub("", text)
    if _TOKEN.search(without) or any(token in text for token in tokens):
        return ["an ownership token"]
    if _SESSION_TOKEN.search(text):
        return ["AWS credentials"]
    return []


def tokens_of(state_dir: Path) -> list[str]:
    """The ownership tokens that attempts under way hold."""
    found = []
    for path in state_dir.glob("credentials/*/issued.json"):
        try:
            token = json.loads(path.read_text())["ownership_token"]
        except (ValueError, KeyError, OSError):
            continue
        found += [token] if token else []
    return found


def leaks(written: Iterable[tuple[str, str]], state_dirs: Iterable[Path]) -> list[str]:
    """Every place where a secret is that should not be there."""
    folders = [folder for folder in state_dirs if folder.is_dir()]
    tokens = [token for folder in folders for token in tokens_of(folder)]
    found = [
        f"{kind} in what {who} wrote" for who, text in written for kind in secrets_in(text, tokens)
    ]
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name not in SECRET_FILES:
                kinds = secrets_in(path.read_text(errors="replace"), tokens)
                found += [f"{kind} in {path}" for kind in kinds]
    return found
