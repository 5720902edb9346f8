"""The check that looks through everything shown: does it see what it is there for?"""

import json
from pathlib import Path

import pytest

from support.csr import key_pem, make_key
from support.secrets import leaks

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
