"""What a walk leaves on disk: files, modes, and how often the disk is waited for."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.credentials.store import Store
from support.clock import FakeClock
from support.walks import BY_AWS, FILES, STEPS, aws_key, issued, mode_of, walk


def test_an_empty_state_directory_has_no_credential(store: Store) -> None:
    assert store.pending() is None
    assert store.current() is None
    store.update_ledger()
    assert store.ledger.latest() == {}


def test_layout_and_modes_after_a_whole_walk(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    folder = state_dir / "credentials" / "0001"
    assert {path.name: mode_of(path) for path in folder.iterdir()} == FILES
    assert mode_of(folder) == mode_of(folder.parent) == 0o700
    assert (folder.parent / "current").readlink() == Path("0001")
    assert mode_of(state_dir / "ledger.jsonl") == 0o600
    assert (folder / "private.pem.key").read_text() == "key a"


def test_the_modes_do_not_depend_on_the_umask(
    store: Store, state_dir: Path, umask: Callable[[int], None]
) -> None:
    umask(0o777)
    walk(store, "a")
    umask(0)
    folder = state_dir / "credentials" / "0001"
    assert {path.name: mode_of(path) for path in folder.iterdir()} == FILES
    assert mode_of(folder) == 0o700


def test_every_step_is_found_by_another_process(
    store: Store, state_dir: Path, clock: FakeClock
) -> None:
    for step in STEPS[:-1]:
        kept = walk(store, step, step)
        assert Store(state_dir, clock).pending() == kept


def test_the_token_is_erased_before_the_credential_is_current(
    store: Store, state_dir: Path
) -> None:
    walk(store, "a")
    assert "token a" not in (state_dir / "credentials/0001/issued.json").read_text()
    assert "token" not in (state_dir / "ledger.jsonl").read_text()


def test_the_proven_mark_records_how_it_was_proven(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    kept = json.loads((state_dir / "credentials/0001/proven").read_text())
    assert kept["how"] == "in a test"


def test_a_certificate_and_its_key_share_one_fsync_of_their_folder(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes a flash card tens of milliseconds, at a first boot."""
    found = walk(store, "a", "attempt", attempt=BY_AWS)
    folders: list[str] = []

    def counted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            folders.append(path.name)

    monkeypatch.setattr(os, "fsync", counted)
    found = store.keep_certificate(found, issued("a"), "certificate a", aws_key(BY_AWS, "a"))
    assert [name for name in folders if name == "0001"] == ["0001"]
    folders.clear()
    store.drop_certificate(found)
    assert [name for name in folders if name == "0001"] == ["0001"]
