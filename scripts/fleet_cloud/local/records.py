"""A record of what was made, in a folder: one JSON file, read back into the dataclass that it was written from.

What a record says is data from a file that somebody else may have written: each record checks its own values, and
:func:`fleet_cloud.local.files.inside` keeps the paths that are made of them within the folder.
"""

import dataclasses
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import files
from fleet_cloud.local.json_text import parsed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Record = TypeVar("_Record", bound="DataclassInstance")


@dataclasses.dataclass(frozen=True)
class RecordFile(Generic[_Record]):
    """The file of a record.

    Args:
        folder: Where it is.
        name: What it is called there.
        kind: The dataclass, whose ``__post_init__`` raises ValueError for what cannot be.
        of: Of what it is a record, for people.
    """

    folder: Path
    name: str
    kind: type[_Record]
    of: str

    def read(self) -> _Record | None:
        """Returns the record; nothing when there is no such file.

        Raises:
            FleetCloudError: The file is not a record.
        """
        path = files.inside(self.folder, self.name)
        text = files.read(path)
        if text is None:
            return None
        try:
            return self.kind(**_values(self.kind, parsed(text)))
        except (ValueError, TypeError) as error:
            raise FleetCloudError(
                f"{path} is not a record of {self.of}: {error}",
                remedy="choose another --out",
                code="record-unreadable",
            ) from error

    def write(self, record: _Record) -> None:
        """Keeps the record."""
        files.write_public(files.inside(self.folder, self.name), render(record))

    def remove(self) -> None:
        """Removes the record."""
        files.remove(files.inside(self.folder, self.name))


def render(record: "DataclassInstance") -> str:
    """Returns a record's text."""
    return json.dumps(dataclasses.asdict(record), indent=2) + "\n"


def difference(
    found: "DataclassInstance", wanted: "DataclassInstance", names: Sequence[str]
) -> str | None:
    """Returns for people in which of these fields two records differ; nothing when they do not."""
    for name in names:
        has, must_have = getattr(found, name), getattr(wanted, name)
        if has != must_have:
            return f"{name.replace('_', ' ')} {has}, not {must_have}"
    return None


def _values(kind: type, found: object) -> dict[str, object]:
    """Returns the values of a record, each of the type that its field has."""
    if not isinstance(found, dict):
        raise TypeError("it is not a JSON object")
    for name, wanted in typing.get_type_hints(kind).items():
        plain = typing.get_origin(wanted) or wanted
        if name in found and type(found[name]) is not plain:
            raise TypeError(f"{name} must be {plain.__name__}, not {type(found[name]).__name__}")
        if plain is dict and not all(isinstance(value, str) for value in found[name].values()):
            raise TypeError(f"{name} must be an object of strings")
    return found
