"""A link, a file or a closed folder where something else should be."""

from pathlib import Path

import pytest

from fleet_agent.credentials.model import Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import StateDirectoryError
from support.clock import FakeClock
from support.users import as_nobody
from support.walks import issued, walk


def test_a_file_in_place_of_the_state_directory_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.touch()
    with pytest.raises(StateDirectoryError, match=r"Cannot (read|check) .*: Not a dir") as caught:
        Store(file, FakeClock()).current()
    assert "--state-dir" in caught.value.remedy


def test_a_file_in_place_of_the_generations_is_reported(store: Store, state_dir: Path) -> None:
    (state_dir / "credentials").touch()
    with pytest.raises(StateDirectoryError, match=r"Cannot (read|check) .*: Not a dir") as caught:
        store.pending()
    assert caught.value.code == "state-damaged"


def test_a_folder_without_permission_is_reported(store: Store, state_dir: Path) -> None:
    walk(store, "a")
    folder = state_dir / "credentials"
    folder.chmod(0)
    try:
        with as_nobody(), pytest.raises(StateDirectoryError) as caught:
            store.current()
    finally:
        folder.chmod(0o700)
    assert caught.value.remedy


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


def test_a_link_among_the_generations_is_not_followed(store: Store, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "photo").touch()
    walk(store, "a")
    store.folder(2).symlink_to(precious)
    walk(store, "b")
    assert (precious / "photo").exists()
    assert not store.folder(2).exists()


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
