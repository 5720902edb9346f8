"""The key of an attempt: never overwritten, and what outlives a refused token."""

import dataclasses
from pathlib import Path

import pytest

from fleet_agent.credentials.model import Registration, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError, StateDirectoryError
from support.walks import ATTEMPT, BY_AWS, aws_key, issued, mode_of, walk


def test_a_refused_ownership_token_leaves_the_key_and_a_line_in_the_ledger(
    store: Store, state_dir: Path
) -> None:
    found = store.drop_certificate(walk(store, "a", "certificate"))
    assert found == store.pending()
    assert found.has_key
    assert found.issued is None
    assert store.ledger.latest() == {"c-a": "unresolved"}
    left = {path.name for path in (state_dir / "credentials/0001").iterdir()}
    assert left == {"attempt.json", "private.pem.key"}
    assert store.drop_certificate(found) is found  # nothing to drop


def test_a_key_is_never_overwritten(store: Store) -> None:
    found = walk(store, "a", "key")
    with pytest.raises(StateDirectoryError, match="never overwritten"):
        store.keep_key(found, Secret("another"))
    assert store.key(1) == Secret("key a")


def test_a_key_from_an_answer_that_was_not_completely_stored_is_replaced(
    store: Store, state_dir: Path
) -> None:
    found = walk(store, "a", "attempt", attempt=BY_AWS)
    (state_dir / "credentials/0001/private.pem.key").write_text("stray")
    stray = store.pending()
    assert stray is not None
    assert stray.has_key
    found = store.keep_certificate(found, issued("b"), "certificate b", aws_key(BY_AWS, "b"))
    assert found.has_key
    assert store.key(1) == Secret("key b")
    assert mode_of(state_dir / "credentials/0001/private.pem.key") == 0o600


def test_a_key_made_on_the_device_is_kept_after_a_refused_token(store: Store) -> None:
    found = store.drop_certificate(walk(store, "a", "certificate"))
    store.keep_certificate(found, issued("b"), "certificate b", None)
    assert store.key(1) == Secret("key a")


def test_a_key_kept_elsewhere_is_missing_here(store: Store) -> None:
    given_csr = dataclasses.replace(ATTEMPT, csr_hash="cc")
    found = store.open(given_csr)
    found = store.keep_certificate(found, issued("a"), "certificate a", None)
    found = store.keep_registration(found, Registration(thing_name="t", device_configuration={}))
    assert store.pending() == found
    assert store.describe(found).private_key_file is None
    with pytest.raises(DeviceError, match="is missing") as caught:
        store.key_pair(found.number)
    assert caught.value.code == "credential-damaged"
