import dataclasses
import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.credentials.model import Event, Home, Registration, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError, StateDirectoryError
from support.clock import FakeClock
from support.users import as_nobody
from support.walks import ATTEMPT, BY_AWS, STEPS, aws_key, current, issued, walk

FILES = {
    "attempt.json": 0o600,
    "private.pem.key": 0o600,
    "certificate.pem.crt": 0o644,
    "issued.json": 0o600,
    "registration.json": 0o600,
    "proven": 0o600,
}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# A whole walk ---------------------------------------------------------------------------------------------------------


def test_an_empty_state_directory(store: Store) -> None:
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


def test_the_modes_hold_whatever_the_umask(
    store: Store, state_dir: Path, umask: Callable[[int], None]
) -> None:
    umask(0o777)
    walk(store, "a")
    umask(0)
    folder = state_dir / "credentials" / "0001"
    assert {path.name: mode_of(path) for path in folder.iterdir()} == FILES
    assert mode_of(folder) == 0o700


def test_what_was_kept_is_found_by_another_process(
    store: Store, state_dir: Path, clock: FakeClock
) -> None:
    for step in STEPS[:-1]:
        kept = walk(store, step, step)
        assert Store(state_dir, clock).pending() == kept


def test_the_credential_in_use(store: Store, state_dir: Path, clock: FakeClock) -> None:
    walk(store, "a")
    found = current(store)
    assert (found.certificate_id, found.thing_name, found.generation) == ("c-a", "thing-a", 1)
    assert found.device_configuration == {"a": "1"}
    assert found.is_proven
    assert found.proven == clock.wall()
    assert found.private_key_file == str(state_dir / "credentials/0001/private.pem.key")
    pair = store.key_pair(1)
    assert (pair.certificate, pair.private_key) == ("certificate a", Secret("key a"))
    assert (pair.certificate_file, pair.private_key_file) == (
        found.certificate_file,
        found.private_key_file,
    )
    assert store.pending() is None
    values = {"a": "1", "thing": "thing-a", "certificate_id": "c-a"}
    assert (found.client_id, found.topic_values) == ("thing-a", values)


def test_whence_an_identity_is_and_where_at_home(store: Store) -> None:
    home = Home(name="there", port=443, ca_file="b.pem")
    adopted = dataclasses.replace(ATTEMPT, origin="adopted", home=home, template="fleet-b")
    walk(store, "a", attempt=adopted)
    found = current(store)
    assert (found.origin, found.home, found.template) == ("adopted", home, "fleet-b")
    assert found.endpoint == ATTEMPT.endpoint


def test_a_thing_without_a_name_connects_by_its_certificates_id(store: Store) -> None:
    found = walk(store, "a", "certificate")
    found = store.keep_registration(found, Registration(thing_name=None, device_configuration={}))
    credential = store.describe(found)
    assert credential.client_id == "c-a"


def test_the_token_is_erased_before_the_credential_is_current(
    store: Store, state_dir: Path
) -> None:
    walk(store, "a")
    assert "token a" not in (state_dir / "credentials/0001/issued.json").read_text()
    assert "token" not in (state_dir / "ledger.jsonl").read_text()


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


def lines(store: Store) -> list[tuple[str, str, int]]:
    found = (store.folder(1).parents[1] / "ledger.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in found]
    return [(entry["certificate_id"], entry["event"], entry["generation"]) for entry in entries]


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


def test_a_certificate_and_its_key_cost_the_disk_one_wait_in_their_folder(
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


# Generations ----------------------------------------------------------------------------------------------------------


def test_one_is_kept_for_going_back_and_older_ones_are_removed(
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


def test_a_generation_that_is_not_registered_is_no_credential(store: Store) -> None:
    with pytest.raises(ValueError, match="not registered"):
        store.describe(walk(store, "a", "certificate"))


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


def test_a_folder_without_an_attempt_is_no_attempt(store: Store, state_dir: Path) -> None:
    (state_dir / "credentials" / "0001").mkdir(parents=True)
    assert store.pending() is None
    assert walk(store, "a", "attempt").number == 2
    assert not (state_dir / "credentials" / "0001").exists()


def test_a_token_that_was_refused_leaves_the_key_and_a_line_in_the_ledger(
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


# Keys -----------------------------------------------------------------------------------------------------------------


def test_a_key_is_never_overwritten(store: Store) -> None:
    found = walk(store, "a", "key")
    with pytest.raises(StateDirectoryError, match="never overwritten"):
        store.keep_key(found, Secret("another"))
    assert store.key(1) == Secret("key a")


def test_a_key_from_aws_whose_answer_was_never_completely_stored_is_replaced(
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


def test_a_key_made_here_outlives_a_refused_token(store: Store) -> None:
    found = store.drop_certificate(walk(store, "a", "certificate"))
    store.keep_certificate(found, issued("b"), "certificate b", None)
    assert store.key(1) == Secret("key a")


def test_a_key_that_is_kept_elsewhere(store: Store) -> None:
    given_csr = dataclasses.replace(ATTEMPT, csr_hash="cc")
    found = store.open(given_csr)
    found = store.keep_certificate(found, issued("a"), "certificate a", None)
    found = store.keep_registration(found, Registration(thing_name="t", device_configuration={}))
    assert store.pending() == found
    assert store.describe(found).private_key_file is None
    with pytest.raises(DeviceError, match="is missing") as caught:
        store.key_pair(found.number)
    assert caught.value.code == "credential-damaged"


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attempt.json", "issued.json", "registration.json", "proven"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"tries": 1}']
)
def test_a_damaged_file_of_an_attempt_is_named_with_the_way_out(
    store: Store, state_dir: Path, name: str, content: bytes
) -> None:
    walk(store, "a", "proven")
    (state_dir / "credentials/0001" / name).write_bytes(content)
    with pytest.raises(StateDirectoryError, match="credentials/0001") as caught:
        store.pending()
    assert caught.value.code == "state-damaged"
    assert "--restart" in caught.value.remedy


values = some.recursive(
    some.none() | some.booleans() | some.floats() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None
)
@given(
    name=some.sampled_from(["attempt.json", "issued.json", "registration.json", "proven"]),
    changes=some.dictionaries(
        some.sampled_from(
            [*(f.name for f in dataclasses.fields(ATTEMPT)), "certificate_id", "ownership_token",
             "received", "thing_name", "device_configuration", "proven"]
        ),
        values,
    ),
)  # fmt: skip
def test_whatever_stands_in_a_file_it_is_read_or_called_damaged(
    tmp_path: Path, name: str, changes: dict[str, object]
) -> None:
    store = Store(tmp_path, FakeClock())
    if store.pending() is None:
        walk(store, "a", "proven")
    path = tmp_path / "credentials/0001" / name
    before = path.read_bytes()
    path.write_text(json.dumps({**json.loads(before), **changes}))
    try:
        store.pending()
    except StateDirectoryError as error:
        assert error.code == "state-damaged"  # noqa: PT017 - either outcome is right
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    "name",
    ["attempt.json", "issued.json", "registration.json", "private.pem.key", "certificate.pem.crt"],
)
def test_a_current_credential_that_lacks_a_file(store: Store, state_dir: Path, name: str) -> None:
    walk(store, "a")
    (state_dir / "credentials/current" / name).unlink()
    with pytest.raises(DeviceError, match=f"incomplete: it has no {name}") as caught:
        store.current()
    assert "--force" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("issued.json", '{"certificate_id": 7, "received": 1}', r"0001/issued\.json is damaged: certificate_id is"),
        ("proven", '{"proven": "x"}', "0001/proven is damaged: proven is not a number"),
        ("proven", "{", r"0001/proven is damaged: Expecting"),
        ("issued.json", '{"received": 1}', r"0001/issued\.json is damaged: it has no certificate_id"),
        ("registration.json", "[" * 100_000, r"0001/registration\.json is damaged: nested too deep"),
        ("key.json", '{"label": 1, "token": "t"}', r"0001/key\.json is damaged: label is not text"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_said(
    store: Store, state_dir: Path, name: str, content: str, words: str
) -> None:
    walk(store, "a")
    (state_dir / "credentials/0001" / name).write_text(content)
    with pytest.raises(StateDirectoryError, match=words):
        store.current()


def test_what_is_no_text_in_a_certificate_is_for_its_parser_to_judge(
    store: Store, state_dir: Path
) -> None:
    walk(store, "a")
    (state_dir / "credentials/0001/certificate.pem.crt").write_bytes(b"a\xff")
    assert store.key_pair(1).certificate == "a\ufffd"


def test_how_it_was_proven_stands_beside_it_for_people(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    kept = json.loads((state_dir / "credentials/0001/proven").read_text())
    assert kept["how"] == "in a test"


def test_a_damaged_current_credential_names_the_way_out(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    (state_dir / "credentials/current/registration.json").write_text("{")
    with pytest.raises(StateDirectoryError, match=r"0001/registration\.json is damaged") as caught:
        store.current()
    assert "--force" in caught.value.remedy


def test_the_way_out_of_a_damaged_identity_leads_out(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    (state_dir / "credentials/current/registration.json").write_text("{")
    walk(store, "b")
    assert current(store).certificate_id == "c-b"


def test_damage_elsewhere_does_not_stop_a_sound_identity(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    walk(store, "b")
    walk(store, "c", "key")
    for number in ("0001", "0003"):
        (state_dir / "credentials" / number / "attempt.json").write_text("{")
    store.update_ledger()
    assert current(store).certificate_id == "c-b"


def test_current_points_nowhere(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    link = state_dir / "credentials/current"
    link.unlink()
    link.symlink_to("0009")
    with pytest.raises(DeviceError, match="0009 is incomplete") as caught:
        store.current()
    assert caught.value.code == "credential-damaged"
    assert walk(store, "b", "attempt").number == 10


def test_current_points_to_no_generation(store: Store, state_dir: Path) -> None:
    (state_dir / "credentials").mkdir()
    (state_dir / "credentials/current").symlink_to("../elsewhere")
    with pytest.raises(StateDirectoryError, match="not a generation") as caught:
        store.current()
    assert caught.value.code == "state-damaged"


def test_current_is_no_link(store: Store, state_dir: Path) -> None:
    """What is offered to type leaves an attempt that is proven, with nothing to ask for."""
    walk(store, "a")
    (state_dir / "credentials/current").unlink()
    (state_dir / "credentials/current").mkdir()
    with pytest.raises(StateDirectoryError, match="not a symbolic link") as caught:
        store.current()
    assert caught.value.code == "state-damaged"
    subprocess.run(caught.value.remedy.partition(";")[0].split(), check=True)
    assert store.current() is None
    found = store.pending()
    assert found is not None
    assert found.proven is not None


def test_a_file_in_place_of_the_state_directory(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.touch()
    with pytest.raises(StateDirectoryError, match=r"Cannot look at .*: Not a dir") as caught:
        Store(file, FakeClock()).current()
    assert "--state-dir" in caught.value.remedy


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


@pytest.mark.parametrize("name", ["private.pem.key", "certificate.pem.crt", "issued.json"])
def test_a_link_where_a_file_should_be_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    found = walk(store, "a", "attempt")
    (store.folder(1) / name).symlink_to(target)
    with pytest.raises(StateDirectoryError, match="symbolic link"):
        store.keep_certificate(
            store.keep_key(found, Secret("k")), issued("a"), "certificate", None
        )
    assert target.read_text() == "mine"


def test_a_link_among_the_generations_is_not_followed(store: Store, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "photo").touch()
    walk(store, "a")
    store.folder(2).symlink_to(precious)
    walk(store, "b")
    assert (precious / "photo").exists()
    assert not store.folder(2).exists()


def test_a_folder_that_may_not_be_looked_into(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    folder = state_dir / "credentials"
    folder.chmod(0)
    try:
        with as_nobody(), pytest.raises(StateDirectoryError) as caught:
            store.current()
    finally:
        folder.chmod(0o700)
    assert caught.value.remedy


def test_a_file_in_place_of_the_generations(store: Store, state_dir: Path) -> None:
    (state_dir / "credentials").touch()
    with pytest.raises(StateDirectoryError, match=r"Cannot look into .*: Not a dir") as caught:
        store.pending()
    assert caught.value.code == "state-damaged"


def test_a_folder_of_generations_that_is_a_link_is_refused(store: Store, tmp_path: Path) -> None:
    walk(store, "a")
    root = store.folder(1).parent
    elsewhere = tmp_path / "elsewhere"
    root.rename(elsewhere)
    root.symlink_to(elsewhere)
    for look in (store.current, store.pending):
        with pytest.raises(StateDirectoryError, match="symbolic link") as caught:
            look()
        assert caught.value.code == "state-damaged"
    with pytest.raises(StateDirectoryError, match="symbolic link"):
        walk(store, "b", "attempt")


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("name", [*FILES, "key.json"])
def test_a_damaged_identity_can_be_provisioned_again(
    store: Store, make: Callable[[Path], None], name: str
) -> None:
    """As the remedy has it, whatever stands there; and what is left of it goes."""
    walk(store, "a")
    damaged = store.folder(1) / name
    damaged.unlink(missing_ok=True)
    make(damaged)
    walk(store, "b")
    assert current(store).certificate_id == "c-b"
    assert store.ledger.latest() == {"c-a": "retired", "c-b": "current"}
    store.remove_replaced()
    assert not store.folder(1).exists()


def test_a_replaced_generation_that_cannot_be_read_is_retired_all_the_same(store: Store) -> None:
    walk(store, "a")
    found = walk(store, "b", "proven")
    (store.folder(1) / "issued.json").write_text("{")
    store.promote(found)
    assert store.ledger.latest() == {"c-a": "retired", "c-b": "current"}


def test_times_of_an_older_version_have_no_boot_beside_them(
    store: Store, state_dir: Path, clock: FakeClock
) -> None:
    walk(store, "a")
    assert current(store).uptime is not None
    for name in ("proven", "issued.json"):
        path = state_dir / "credentials/0001" / name
        known = json.loads(path.read_text())
        path.write_text(
            json.dumps({k: v for k, v in known.items() if k not in ("boot", "monotonic")})
        )
    found = current(Store(state_dir, clock))
    assert (found.proven, found.uptime) == (clock.wall(), None)
