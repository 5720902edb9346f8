"""Records and folders that somebody else has written: nothing outside of the folder is read, written or removed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_cloud.bulk.layout import BulkFolder
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import files
from fleet_cloud.practice.trials import TrialFolder

BULK = {
    "fleet": "city",
    "account": "123456789012",
    "region": "eu-west-1",
    "prefix": "bin",
    "thing_type": "bin",
    "count": 1,
    "shared": False,
}
CERTIFICATE = f"arn:aws:iot:eu-west-1:123456789012:cert/{'a' * 64}"
THINGS = {"account": "123456789012", "region": "eu-west-1", "things": {"thing_0": CERTIFICATE}}


@pytest.mark.parametrize(
    "change",
    [
        {"prefix": "../../x"},
        {"prefix": "a b"},
        {"prefix": 7},
        {"thing_type": "$(x)"},
        {"count": 10**9},
        {"count": True},
        {"count": "1"},
        {"shared": "no"},
        {"key": "a/../b"},
        {"task": "--endpoint-url"[:2] + "\n"},
        {"region": "x;y"},
        {"more": 1},
    ],
    ids=str,
)
def test_bulk_record_with_an_impossible_value_is_none(
    tmp_path: Path, change: dict[str, object]
) -> None:
    (tmp_path / "bulk.json").write_text(json.dumps(BULK))
    assert BulkFolder(tmp_path).read()
    (tmp_path / "bulk.json").write_text(json.dumps(BULK | change))
    with pytest.raises(FleetCloudError, match="is not a record of a bulk registration"):
        BulkFolder(tmp_path).read()


@pytest.mark.parametrize(
    "things",
    [
        {"../thing_0": CERTIFICATE},
        {"pump-7": CERTIFICATE},
        {"thing_0": CERTIFICATE.replace("123456789012", "210987654321")},
        {"thing_0": CERTIFICATE.replace("eu-west-1", "us-east-1")},
        {"thing_0": CERTIFICATE.replace("cert", "thing")},
        {"thing_0": f"{CERTIFICATE} --force"},
        {"thing_0": None},
        ["thing_0"],
    ],
    ids=str,
)
def test_record_of_things_that_names_what_things_create_never_made_is_none(
    tmp_path: Path, things: object
) -> None:
    (tmp_path / "things.json").write_text(json.dumps(THINGS))
    assert TrialFolder(tmp_path).read()
    (tmp_path / "things.json").write_text(json.dumps(THINGS | {"things": things}))
    with pytest.raises(FleetCloudError, match="is not a record of things"):
        TrialFolder(tmp_path).read()


@pytest.mark.parametrize("text", ["[" * 100_000, "\ufeff", '{"a": 1', "\ud7ff", "1e999"])
def test_text_that_is_no_record_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "things.json").write_text(text)
    with pytest.raises(FleetCloudError, match="is not a record of things"):
        TrialFolder(tmp_path).read()


def link_things(folder: Path, precious: Path) -> None:
    (folder / "things").symlink_to(precious)


def link_thing(folder: Path, precious: Path) -> None:
    (folder / "things").mkdir()
    (folder / "things" / "bin-1").symlink_to(precious)


def link_key(folder: Path, precious: Path) -> None:
    (folder / "things" / "bin-1").mkdir(parents=True)
    (folder / "things" / "bin-1" / "private.pem.key").symlink_to(precious / "private.pem.key")


@pytest.mark.parametrize("link", [link_things, link_thing, link_key])
def test_link_in_a_bulk_folder_is_not_followed(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    precious, folder = tmp_path / "precious", tmp_path / "bulk"
    for place in (precious, precious / "bin-1"):
        place.mkdir()
        (place / "private.pem.key").write_text("precious")
    folder.mkdir()
    (folder / "bulk.json").write_text(json.dumps(BULK))
    link(folder, precious)
    bulk = BulkFolder(folder)
    record = bulk.read()
    assert record
    for attempt in (lambda: bulk.clear(record), lambda: bulk.key("bin-1")):
        with pytest.raises(FleetCloudError, match="is a symbolic link"):
            attempt()
    assert sorted(precious.rglob("*.key")) == [
        precious / "bin-1" / "private.pem.key",
        precious / "private.pem.key",
    ]


def test_link_to_a_record_or_a_key_of_things_is_not_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "things"
    outside.write_text(json.dumps(THINGS))
    folder.mkdir()
    (folder / "things.json").symlink_to(outside)
    with pytest.raises(FleetCloudError, match="is a symbolic link"):
        TrialFolder(folder).read()
    (folder / "thing_0.private.pem.key").symlink_to(tmp_path / "not there")
    with pytest.raises(FleetCloudError, match="is a symbolic link"):
        TrialFolder(folder).identity("thing_0")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0b"])
def test_name_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FleetCloudError, match="cannot be a name in"):
        files.inside(tmp_path, name)
