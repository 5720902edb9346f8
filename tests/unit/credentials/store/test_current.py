"""The credential in use."""

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.credentials.model import Home, Registration, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError, StateDirectoryError
from support.clock import FakeClock
from support.walks import ATTEMPT, FILES, current, walk


def test_the_current_credential_has_all_that_was_stored(
    store: Store, state_dir: Path, clock: FakeClock
) -> None:
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


def test_a_credential_has_its_origin_and_its_home(store: Store) -> None:
    home = Home(name="there", port=443, ca_file="b.pem")
    adopted = dataclasses.replace(ATTEMPT, origin="adopted", home=home, template="fleet-b")
    walk(store, "a", attempt=adopted)
    found = current(store)
    assert (found.origin, found.home, found.template) == ("adopted", home, "fleet-b")
    assert found.endpoint == ATTEMPT.endpoint


def test_without_a_thing_the_client_id_is_the_certificates(store: Store) -> None:
    found = walk(store, "a", "certificate")
    found = store.keep_registration(found, Registration(thing_name=None, device_configuration={}))
    credential = store.describe(found)
    assert credential.client_id == "c-a"


def test_times_of_an_older_version_have_no_uptime(
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


@pytest.mark.parametrize(
    "name",
    ["attempt.json", "issued.json", "registration.json", "private.pem.key", "certificate.pem.crt"],
)
def test_a_current_credential_that_lacks_a_file_is_incomplete(
    store: Store, state_dir: Path, name: str
) -> None:
    walk(store, "a")
    (state_dir / "credentials/current" / name).unlink()
    with pytest.raises(DeviceError, match=f"incomplete: it has no {name}") as caught:
        store.current()
    assert "--force" in caught.value.remedy


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


def test_damage_in_other_generations_does_not_affect_the_current_one(
    store: Store, state_dir: Path
) -> None:
    walk(store, "a")
    walk(store, "b")
    walk(store, "c", "key")
    for number in ("0001", "0003"):
        (state_dir / "credentials" / number / "attempt.json").write_text("{")
    store.update_ledger()
    assert current(store).certificate_id == "c-b"


def test_a_link_to_a_missing_generation_is_reported(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    link = state_dir / "credentials/current"
    link.unlink()
    link.symlink_to("0009")
    with pytest.raises(DeviceError, match="0009 is incomplete") as caught:
        store.current()
    assert caught.value.code == "credential-damaged"
    assert walk(store, "b", "attempt").number == 10


def test_a_link_to_something_other_than_a_generation_is_reported(
    store: Store, state_dir: Path
) -> None:
    (state_dir / "credentials").mkdir()
    (state_dir / "credentials/current").symlink_to("../elsewhere")
    with pytest.raises(StateDirectoryError, match="not a generation") as caught:
        store.current()
    assert caught.value.code == "state-damaged"


def test_a_folder_in_place_of_the_link_is_reported(store: Store, state_dir: Path) -> None:
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
