"""A list of expected devices, from a file: serial numbers, their keys, what else is known of them."""

import csv
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import registrations
from fleet_cloud.local import files
from fleet_cloud.plan import serials
from fleet_cloud.plan.hook import naming
from fleet_cloud.plan.hook.registration import ATTRIBUTE, Registration

SERIAL_COLUMNS = ("serial", "serialnumber", "serial_number")
KEY_COLUMNS = (
    "key",
    "key_sha256",
    "keysha256",
    "key_hash",
    "public_key",
    "public_key_sha256",
    "sha256",
)

_ATTRIBUTE_NAME = re.compile("[a-zA-Z0-9_.,@/:#-]{1,128}")
_WITHOUT_TYPE = 3  # attributes that AWS lets a thing have
_REMARK = re.compile(r"\s*(#.*)?")
_HASH = re.compile("[0-9a-fA-F]{64}")
_SHOWN = 5  # faulty lines


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
    """A device that is to come."""

    serial: str
    key: str = ""
    more: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """How an expected device stands in the registry."""

    name: str
    key: str
    attributes: Mapping[str, str]
    where: Mapping[str, str]
    groups: Sequence[str]

    @property
    def new(self) -> Mapping[str, str]:
        """Its attributes, when it is not there yet."""
        marked = Registration(expected=self.key).attribute if self.key else {}
        return {**self.attributes, **marked}


def read(path: Path) -> list[Expected]:
    """Returns the devices of a file: one serial number a line, or CSV with a line that names its columns.

    Raises:
        UsageError: It does not exist, or a line is wrong.
    """
    text = files.read(path)
    if text is None:
        raise UsageError(f"{path} does not exist", remedy="check its name")
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1)]
    numbered = [(number, line) for number, line in numbered if not _REMARK.fullmatch(line)]
    if not numbered:
        raise UsageError(f"{path} names no devices", remedy="write one serial number on each line")
    first = numbered[0][1]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    rows = [(number, _cells(path, number, line, delimiter)) for number, line in numbered]
    columns = _columns(path, rows)
    if columns:
        rows = rows[1:]
        if not rows:
            raise UsageError(
                f"{path} names no devices",
                remedy="write a line for each device below the first line",
            )
        _check_names(path, columns, [cells for _, cells in rows])
    found, wrong = _devices(rows, columns or ["serial"])
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] * (len(wrong) > _SHOWN)
        raise UsageError(
            f"{path} is not a list of devices:",
            remedy="correct those lines; nothing has been changed in AWS",
            details=[*wrong[:_SHOWN], *more],
        )
    return found


def entry(device: Expected, template: Mapping[str, object]) -> Entry:
    """Returns how a device stands in the registry.

    Args:
        device: What is known of it.
        template: What the hook knows of the template.

    Raises:
        UsageError: The template needs more to name it, or it has more attributes than AWS allows.
    """
    declared = template["defaults"]
    known = {
        **(declared if isinstance(declared, Mapping) else {}),
        **device.more,
        str(template["parameter"]): device.serial,
    }
    try:
        name = naming.resolved_text(template["thing"], known)
        attributes = naming.resolve(template["attributes"], known)
        where = naming.resolve(template["where"], known)
        groups = naming.resolve(template["groups"], known)
    except naming.UnresolvedError as error:
        raise UsageError(
            f"{device.serial} cannot be expected: {error}",
            remedy="add what the template needs as a column of that name",
        ) from error
    used = _references(template)
    own = {name: value for name, value in device.more.items() if name not in used}
    made = Entry(
        name=name,
        key=device.key,
        attributes={**_texts(attributes), **own},
        where=_texts(where),
        groups=[str(group) for group in groups] if isinstance(groups, list) else [],
    )
    if why := naming.fault([name, *made.where.values(), *made.groups], made.attributes):
        raise UsageError(
            f"{device.serial} cannot be expected: {why}",
            remedy="correct that line; nothing has been changed in AWS",
        )
    if "thingTypeName" not in made.where and len({*made.attributes, ATTRIBUTE}) > _WITHOUT_TYPE:
        raise UsageError(
            f"{name} would have more than {_WITHOUT_TYPE} attributes once registered, and AWS allows no more for "
            "a thing without a type",
            remedy="set a type for the fleet's things: fleet-cloud up --thing-type TYPE",
        )
    return made


def _cells(path: Path, number: int, line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error as error:
        raise UsageError(
            f"{path} is not a list of devices: line {number}: {error}",
            remedy="correct that line; nothing has been changed in AWS",
        ) from error


def _columns(path: Path, rows: Sequence[tuple[int, list[str]]]) -> list[str] | None:
    """Returns the names of the columns, or nothing for a plain list."""
    number, first = rows[0]
    lower = [cell.lower() for cell in first]
    if any(name in lower for name in SERIAL_COLUMNS):
        return [
            "serial" if name in SERIAL_COLUMNS else "key" if name in KEY_COLUMNS else first[at]
            for at, name in enumerate(lower)
        ]
    if any(len(cells) > 1 for _, cells in rows):
        raise UsageError(
            f"{path} has several columns, but line {number} does not name them",
            remedy="begin it with a line such as: serial,key,site",
        )
    return None


def _check_names(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Sees to it that no hash of a key is taken for an attribute: everybody's key would be admitted."""
    if doubled := {name for name in columns if columns.count(name) > 1}:
        raise UsageError(
            f"{path} has the column {min(doubled)} twice",
            remedy="keep one of them, and remove the other from each line",
        )
    for at, name in enumerate(columns):
        cells = [cells[at] for cells in rows if len(cells) > at and cells[at]]
        if name != "key" and cells and all(_HASH.fullmatch(cell) for cell in cells):
            raise UsageError(
                f"{path}: the column {name!r} contains hashes of keys",
                remedy="name it key, so that only the device with that key can register; nothing has been changed "
                "in AWS",
            )


def _devices(
    rows: Sequence[tuple[int, list[str]]], columns: Sequence[str]
) -> tuple[list[Expected], list[str]]:
    found: dict[str, Expected] = {}
    wrong: list[str] = []
    for number, cells in rows:
        try:
            device = _device(dict(zip(columns, cells, strict=True)))
        except ValueError:
            wrong.append(f"line {number} has {len(cells)} columns, not {len(columns)}")
        except UsageError as error:
            wrong.append(f"line {number}: {error.title}")
        else:
            if device.serial in found:
                wrong.append(f"line {number}: {device.serial} appears twice")
            found[device.serial] = device
    return [*found.values()], wrong


def _device(cells: dict[str, str]) -> Expected:
    serial, key = cells.pop("serial"), cells.pop("key", "")
    if fault := " is empty" if not serial else serials.fault(serial):
        raise UsageError(f"{serial!r}{fault}", remedy="")
    more = {name: value for name, value in cells.items() if value}
    for name, value in more.items():
        if not _ATTRIBUTE_NAME.fullmatch(name) or naming.fault([], {name: value}):
            raise UsageError(f"AWS does not accept an attribute {name!r} {value!r}", remedy="")
    return Expected(
        serial=serial, key=registrations.check_hash(key, "key") if key else "", more=more
    )


def _references(value: object) -> set[str]:
    """Returns the parameters that a template refers to by ``Ref``."""
    if isinstance(value, list):
        return {name for part in value for name in _references(part)}
    if not isinstance(value, Mapping):
        return set()
    own = {str(value["Ref"])} if "Ref" in value else set()
    return own | {name for part in value.values() for name in _references(part)}


def _texts(value: object) -> dict[str, str]:
    found = value if isinstance(value, Mapping) else {}
    return {str(name): text for name, text in found.items() if isinstance(text, str) and text}
