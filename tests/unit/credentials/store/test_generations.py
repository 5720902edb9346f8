"""Numbered folders: which is an attempt, which is a credential, and which are removed."""

from pathlib import Path

import pytest

from fleet_agent.credentials.model import Secret
from fleet_agent.credentials.store import Store
from support.walks import STEPS, current, walk


def test_the_replaced_generation_is_kept_and_older_ones_are_removed(
    store: Store, state_dir: Path
) -> None:
    for name in "abc":
        walk(store, name)
    assert sorted(path.name for path in (state_dir / "credentials").iterdir()) == [
        "0002",
        "0003",
        "current",
    ]
    assert current(store).certificate_id == "c-c"
    assert store.key_pair(2).private_key == Secret("key b")


def test_a_number_is_never_used_twice(store: Store) -> None:
    walk(store, "a")
    walk(store, "b", "key")
    assert walk(store, "c", "attempt").number == 3
    assert walk(store, "d").number == 4
    assert walk(store, "e", "attempt").number == 5


@pytest.mark.parametrize("until", STEPS[:-1])
def test_a_new_attempt_leaves_the_current_credential_alone(store: Store, until: str) -> None:
    walk(store, "a")
    before = current(store)
    walk(store, "b", until)
    assert current(store) == before
    assert store.key_pair(before.generation).private_key == Secret("key a")


def test_a_generation_that_is_not_proven_cannot_become_current(store: Store) -> None:
    found = walk(store, "a", "registered")
    with pytest.raises(ValueError, match="not proven"):
        store.promote(found)
    assert store.current() is None


def test_a_generation_that_is_not_registered_is_not_a_credential(store: Store) -> None:
    with pytest.raises(ValueError, match="not registered"):
        store.describe(walk(store, "a", "certificate"))


def test_a_folder_without_an_attempt_is_ignored_and_replaced(
    store: Store, state_dir: Path
) -> None:
    (state_dir / "credentials" / "0001").mkdir(parents=True)
    assert store.pending() is None
    assert walk(store, "a", "attempt").number == 2
    assert not (state_dir / "credentials" / "0001").exists()
