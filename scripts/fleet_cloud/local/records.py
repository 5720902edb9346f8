"""A record of what was made, in a folder: one JSON file, read back into the dataclass that it was written from."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import files

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Record = TypeVar("_Record", bound="DataclassInstance")


def read(path: Path, kind: type[_Record], what: str) -> _Record | None:
    """Return the record; nothing when there is no such file.

    Args:
        path: The file.
        kind: The dataclass.
        what: Of what it is a record, for people.

    Raises:
        FleetCloudError: It is none.
    """
    text = files.read(path)
    if text is None:
        return None
    try:
        return kind(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise FleetCloudError(
            f"{path} is no record of {what}: {error}",
            remedy="choose another --out",
            code="record-unreadable",
        ) from error


def write(path: Path, record: "DataclassInstance") -> None:
    """Keep the record."""
    files.write_public(path, render(record))


def render(record: "DataclassInstance") -> str:
    """Return a record's text."""
    return json.dumps(dataclasses.asdict(record), indent=2) + "\n"
