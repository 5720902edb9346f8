"""Which lines the store writes into the ledger."""

import dataclasses
import json
from pathlib import Path

import pytest

from fleet_agent.credentials.model import Event
from fleet_agent.credentials.store import Store
from support.walks import ATTEMPT, current, walk


def lines(store: Store) -> list[tuple[str, str, int]]:
    found = (store.folder(1).parents[1] / "ledger.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in found]
    return [(entry["certificate_id"], entry["event"], entry["generation"]) for entry in entries]


def test_the_ledger_tells_the_whole_story(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    walk(store, "b")
    lines = [json.loads(line) for line in (state_dir / "ledger.jsonl").read_text().splitlines()]
    assert [(line["certificate_id"], line["event"], line["generation"]) for line in lines] == [
        ("c-a", "issued", 1),
        ("c-a", "registered", 1),
        ("c-a", "current", 1),
        ("c-b", "issued", 2),
        ("c-b", "registered", 2),
        ("c-a", "retired", 1),
        ("c-b", "current", 2),
    ]
    assert all(line["time"] == "2027-01-15T08:00:00Z" for line in lines[1:3])


def test_an_adopted_one_is_not_called_registered(store: Store) -> None:
    walk(store, "a", attempt=dataclasses.replace(ATTEMPT, origin="adopted"))
    assert lines(store) == [("c-a", "adopted", 1), ("c-a", "current", 1)]


def test_which_generation_each_line_is_about(store: Store) -> None:
    """Where they are given up, refused, or replaced and not readable any more."""
    walk(store, "a")
    store.ledger.record("c-z", Event.ISSUED, 9, 0.0)
    store.drop_certificate(walk(store, "b", "certificate"))
    walk(store, "c", "registered")
    found = walk(store, "d", "proven")
    (store.folder(1) / "attempt.json").write_text("{")
    store.promote(found)
    assert lines(store)[3:] == [
        ("c-z", "issued", 9),
        ("c-b", "issued", 2),
        ("c-b", "unresolved", 2),
        ("c-c", "issued", 3),
        ("c-c", "registered", 3),
        ("c-c", "dropped", 3),
        ("c-d", "issued", 4),
        ("c-d", "registered", 4),
        ("c-a", "retired", 1),
        ("c-d", "current", 4),
    ]


def test_a_damaged_one_in_use_is_not_retired(store: Store) -> None:
    walk(store, "a")
    (store.folder(1) / "attempt.json").write_text("{")
    before = lines(store)
    store.update_ledger()
    assert lines(store) == before


def test_one_that_was_never_proven_is_not_retired(store: Store) -> None:
    """Killed after the new attempt stood; what was left of the one before is older than what is in use."""
    walk(store, "a", "certificate")
    kept = {path.name: path.read_bytes() for path in store.folder(1).iterdir()}
    found = walk(store, "b", "proven")
    store.folder(1).mkdir()
    for name, data in kept.items():
        (store.folder(1) / name).write_bytes(data)
    store.promote(found)
    assert store.ledger.latest() == {"c-a": "unresolved", "c-b": "current"}


def test_what_an_interrupted_restart_left_behind_is_no_retired_credential(
    store: Store, state_dir: Path
) -> None:
    """Killed after the new attempt stood, before the old folder was gone."""
    walk(store, "a", "proven")
    kept = {path.name: path.read_bytes() for path in (state_dir / "credentials/0001").iterdir()}
    found = walk(store, "b", "proven")
    (state_dir / "credentials/0001").mkdir()
    for name, data in kept.items():
        (state_dir / "credentials/0001" / name).write_bytes(data)
    store.promote(found)
    assert store.ledger.latest() == {"c-a": "dropped", "c-b": "current"}
    assert not (state_dir / "credentials/0001").exists()


def test_a_replaced_generation_that_cannot_be_read_is_retired_all_the_same(store: Store) -> None:
    walk(store, "a")
    found = walk(store, "b", "proven")
    (store.folder(1) / "issued.json").write_text("{")
    store.promote(found)
    assert store.ledger.latest() == {"c-a": "retired", "c-b": "current"}


def test_whether_it_is_recorded_to_be_in_use(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    found = current(store)
    assert store.is_recorded(found)
    (state_dir / "ledger.jsonl").unlink()
    assert not store.is_recorded(found)
    store.update_ledger()
    assert store.is_recorded(found)
    walk(store, "b")
    assert not store.is_recorded(found)


def test_of_a_disowned_identity_every_certificate_is_named(store: Store) -> None:
    walk(store, "a")
    walk(store, "b", "registered")
    store.disown()
    assert lines(store)[-2:] == [("c-a", "retired", 1), ("c-b", "dropped", 2)]


@pytest.mark.parametrize(
    ("until", "event"),
    [
        ("certificate", Event.UNRESOLVED),
        ("registered", Event.DROPPED),
        ("proven", Event.DROPPED),
    ],
)
def test_a_given_up_attempt_names_its_certificate(
    store: Store, state_dir: Path, until: str, event: Event
) -> None:
    walk(store, "a", until)
    assert walk(store, "b", "attempt").number == 2
    assert not (state_dir / "credentials" / "0001").exists()
    assert store.ledger.latest() == {"c-a": event.value}


def test_a_damaged_attempt_names_its_certificate_when_it_is_given_up(
    store: Store, state_dir: Path
) -> None:
    walk(store, "a", "registered")
    (state_dir / "credentials/0001/attempt.json").write_text("{")
    (state_dir / "credentials/0001/issued.json").write_text("")
    walk(store, "b", "attempt")
    assert store.ledger.latest() == {"c-a": "dropped"}


def test_a_lost_ledger_is_made_up_from_what_is_stored(store: Store, state_dir: Path) -> None:
    walk(store, "a", "registered")
    (state_dir / "ledger.jsonl").unlink()
    walk(store, "b", "attempt")
    assert store.ledger.latest() == {"c-a": "unresolved"}


def test_a_foreign_certificate_stays_foreign_when_the_attempt_is_given_up(store: Store) -> None:
    found = walk(store, "a", "key")
    store.ledger.record("c-x", Event.FOREIGN, found.number, 0.0)
    walk(store, "b", "attempt")
    assert store.ledger.latest() == {"c-x": "foreign"}


def test_a_power_cut_between_the_swap_and_the_ledger(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    walk(store, "b")
    ledger = state_dir / "ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:-2]))
    assert store.ledger.latest() == {"c-a": "current", "c-b": "registered"}
    store.update_ledger()
    assert store.ledger.latest() == {"c-a": "retired", "c-b": "current"}
    before = ledger.read_bytes()
    store.update_ledger()
    assert ledger.read_bytes() == before
