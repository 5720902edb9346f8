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


def test_the_ledger_has_a_line_for_each_event(store: Store, state_dir: Path) -> None:
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


def test_an_adopted_certificate_is_not_recorded_as_registered(store: Store) -> None:
    walk(store, "a", attempt=dataclasses.replace(ATTEMPT, origin="adopted"))
    assert lines(store) == [("c-a", "adopted", 1), ("c-a", "current", 1)]


def test_each_line_names_its_generation(store: Store) -> None:
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


def test_a_damaged_current_credential_is_not_retired(store: Store) -> None:
    walk(store, "a")
    (store.folder(1) / "attempt.json").write_text("{")
    before = lines(store)
    store.update_ledger()
    assert lines(store) == before


@pytest.mark.parametrize(
    ("until", "event"), [("certificate", "unresolved"), ("proven", "dropped")]
)
def test_an_attempt_that_an_interrupted_restart_left_behind_is_not_retired(
    store: Store, until: str, event: str
) -> None:
    """Killed after the new attempt was there, before the old folder was gone."""
    walk(store, "a", until)
    old = store.folder(1)
    kept = {path.name: path.read_bytes() for path in old.iterdir()}
    found = walk(store, "b", "proven")
    old.mkdir()
    for name, data in kept.items():
        (old / name).write_bytes(data)
    store.promote(found)
    assert store.ledger.latest() == {"c-a": event, "c-b": "current"}
    assert not old.exists()


def test_a_replaced_generation_that_cannot_be_read_is_still_retired(store: Store) -> None:
    walk(store, "a")
    found = walk(store, "b", "proven")
    (store.folder(1) / "issued.json").write_text("{")
    store.promote(found)
    assert store.ledger.latest() == {"c-a": "retired", "c-b": "current"}


def test_a_credential_is_recorded_once_the_ledger_names_it_as_current(
    store: Store, state_dir: Path
) -> None:
    walk(store, "a")
    found = current(store)
    assert store.is_recorded(found)
    (state_dir / "ledger.jsonl").unlink()
    assert not store.is_recorded(found)
    store.update_ledger()
    assert store.is_recorded(found)
    walk(store, "b")
    assert not store.is_recorded(found)


def test_disowning_an_identity_records_every_certificate(store: Store) -> None:
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
def test_giving_up_an_attempt_records_its_certificate(
    store: Store, state_dir: Path, until: str, event: Event
) -> None:
    walk(store, "a", until)
    assert walk(store, "b", "attempt").number == 2
    assert not (state_dir / "credentials" / "0001").exists()
    assert store.ledger.latest() == {"c-a": event.value}


def test_giving_up_a_damaged_attempt_records_its_certificate(
    store: Store, state_dir: Path
) -> None:
    walk(store, "a", "registered")
    (state_dir / "credentials/0001/attempt.json").write_text("{")
    (state_dir / "credentials/0001/issued.json").write_text("")
    walk(store, "b", "attempt")
    assert store.ledger.latest() == {"c-a": "dropped"}


def test_a_lost_ledger_is_rebuilt_from_what_is_stored(store: Store, state_dir: Path) -> None:
    walk(store, "a", "registered")
    (state_dir / "ledger.jsonl").unlink()
    walk(store, "b", "attempt")
    assert store.ledger.latest() == {"c-a": "unresolved"}


def test_a_foreign_certificate_stays_foreign_when_the_attempt_is_given_up(store: Store) -> None:
    found = walk(store, "a", "key")
    store.ledger.record("c-x", Event.FOREIGN, found.number, 0.0)
    walk(store, "b", "attempt")
    assert store.ledger.latest() == {"c-x": "foreign"}


def test_lines_lost_in_a_power_cut_are_written_at_the_next_start(
    store: Store, state_dir: Path
) -> None:
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
