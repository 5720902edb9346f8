"""The folder of a bulk registration: a record of what was requested, and each thing's key and certificate (0600)."""

import base64
import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fleet_cloud.aws.names import REGISTRY_NAME, BulkNames
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.fleet import configuration
from fleet_cloud.fleet.connection import Identity
from fleet_cloud.local import files, records
from fleet_cloud.local.json_text import parsed, shallow
from fleet_cloud.local.records import RecordFile

RECORD = "bulk.json"
THINGS, TASKS = "things", "tasks"
KEY = "private.pem.key"
CERTIFICATE = "certificate.pem.crt"
SHARED = "shared"
CA = "ca.pem"
MOST = 100_000  # things

_RESULTS = ".results"
_KEPT = re.compile(rf"(?P<key>.+-[0-9]+\.jsonl)({re.escape(_RESULTS)})?")
_PLACE = re.compile(r"[0-9A-Za-z:._-]{0,256}")  # of parameters in the bucket, or a task's id
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----\s(?P<body>[A-Za-z0-9+/=\s]+)-----END")
_THING = re.compile(r":thing/([0-9A-Za-z:_-]+)")
# The beginning of a P-256 public key in a request and in a certificate; the point itself follows.
_PUBLIC_KEY = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_POINT_BYTES = 65


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What was requested, and its progress.

    ``key`` is the parameters' place while a task may be under way, ``device_endpoint`` where the things connect when
    that was said.
    """

    fleet: str
    account: str
    region: str
    prefix: str
    thing_type: str
    count: int
    shared: bool
    key: str = ""
    task: str = ""
    device_endpoint: str = ""

    def __post_init__(self) -> None:
        """Checks the values: paths, names and words of commands are made of them.

        Raises:
            ValueError: One cannot be what it stands for.
        """
        for name in ("fleet", "account", "region", "prefix", "thing_type"):
            if not REGISTRY_NAME.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)!r}")
        for name in ("key", "task"):
            if not _PLACE.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)!r}")
        if not 1 <= self.count <= MOST:
            raise ValueError(f"count {self.count}")
        if self.device_endpoint:
            try:
                configuration.endpoint(self.device_endpoint)
            except UsageError as error:
                raise ValueError(error.title) from error

    @property
    def things(self) -> list[str]:
        """The names of its things."""
        return [f"{self.prefix}-{number}" for number in range(1, self.count + 1)]


@dataclasses.dataclass(frozen=True)
class BulkFolder:
    """The folder of bulk registration."""

    path: Path

    def make(self) -> None:
        """Makes the folder, and that of the tasks."""
        for folder in (self.path, files.inside(self.path, TASKS)):
            files.make_folder(folder, 0o700)

    def key(self, thing: str) -> Path:
        """Where a thing's private key is."""
        return files.inside(self.path, THINGS, thing, KEY)

    def certificate(self, thing: str) -> Path:
        """Where a thing's certificate is."""
        return files.inside(self.path, THINGS, thing, CERTIFICATE)

    def parameters(self, key: str) -> Path:
        """Where the parameters of a task are, one thing a line; named as in the bucket."""
        return files.inside(self.path, TASKS, key)

    def results(self, key: str) -> Path:
        """Where the report of a task is, until each certificate in it lies beside its key."""
        return files.inside(self.path, TASKS, f"{key}{_RESULTS}")

    def kept(self) -> list[str]:
        """Returns the keys of all tasks of which something is here."""
        found = map(_KEPT.fullmatch, files.names_in(files.inside(self.path, TASKS)))
        return sorted({match["key"] for match in found if match})

    def forget(self, key: str) -> None:
        """Removes what is here of a task."""
        files.remove(self.parameters(key))
        files.remove(self.results(key))

    @property
    def ca_file(self) -> Path:
        """The path of the copy of the CA that was passed."""
        return files.inside(self.path, CA)

    @property
    def remembered_ca(self) -> Path | None:
        """The CA that was passed; nothing when none was."""
        return self.ca_file if self.ca_file.is_file() else None

    def identity(self, thing: str) -> Identity:
        """Returns what a thing connects with."""
        return Identity(certificate=self.certificate(thing), key=self.key(thing))

    def read(self) -> Record | None:
        """Returns the record; nothing when there is none.

        Raises:
            FleetCloudError: The file is not a record.
        """
        return self._record.read()

    def write(self, record: Record) -> None:
        """Keeps the record."""
        self._record.write(record)

    @property
    def _record(self) -> RecordFile[Record]:
        return RecordFile(self.path, RECORD, Record, "a bulk registration")

    def pending(self, record: Record) -> list[str]:
        """Returns the things without a certificate here."""
        made = files.folders_with(files.inside(self.path, THINGS), CERTIFICATE)
        return [thing for thing in record.things if thing not in made]

    def clear(self, record: Record) -> None:
        """Removes what was created here, and nothing else."""
        for thing in [*record.things, SHARED]:
            for path in (self.key(thing), self.certificate(thing)):
                files.remove(path)
            _remove_empty(self.key(thing).parent)
        for key in self.kept():
            self.forget(key)
        files.remove(self.ca_file)
        self._record.remove()
        _remove_empty(self.path / THINGS)
        _remove_empty(self.path / TASKS)
        _remove_empty(self.path)


def continued(found: Record | None, wanted: Record, folder: Path) -> Record:
    """Returns the record to continue with: what is wanted, with the task of an earlier run.

    Raises:
        UsageError: The folder is another registration's.
    """
    if found is None:
        return wanted
    where = ("fleet", "account", "region", "prefix", "thing_type", "shared")
    if other := records.difference(found, wanted, where):
        raise UsageError(
            f"{folder} is a registration with {other}",
            remedy="choose another --out, or use the flags of that registration",
        )
    return dataclasses.replace(
        found,
        count=max(found.count, wanted.count),
        device_endpoint=wanted.device_endpoint or found.device_endpoint,
    )


def check_place(found: Record | None, bulk: BulkNames, folder: Path) -> None:
    """Checks that a record, if there is one, is of this fleet, account and region.

    Raises:
        FleetCloudError: It belongs to another one.
    """
    if found is None:
        return
    here = dataclasses.replace(
        found,
        fleet=bulk.names.fleet,
        account=bulk.account.number,
        region=bulk.account.region,
    )
    if other := records.difference(found, here, ("fleet", "account", "region")):
        raise FleetCloudError(
            f"{folder} is a registration with {other}",
            remedy="use the --name, --region and --profile of that registration, or another --out",
            code="record-of-another",
        )


def certificates_in(report: Sequence[str]) -> Iterator[str]:
    """Yields the certificates in a report's lines, wherever they are in a line: AWS documents no form."""
    for line in report:
        try:
            yield from _pems(shallow(parsed(line)))
        except ValueError:
            continue


def made(folder: BulkFolder, key: str) -> list[tuple[str, str]]:
    """Returns each thing that the task with these parameters registered, and its certificate.

    Raises:
        FleetCloudError: The file has been changed.
    """
    report = (files.read(folder.results(key)) or "").splitlines()
    found = {public_key(pem): pem for pem in certificates_in(report)}
    parameters = folder.parameters(key)
    asked = [_entry(parameters, line) for line in (files.read(parameters) or "").splitlines()]
    return [
        (each.get("ThingName", ""), found[public])
        for each in asked
        if (public := public_key(each.get("CSR", ""))) in found
    ]


def things_in(report: Sequence[str]) -> set[str]:
    """Returns the things that a report's lines name by their ARNs."""
    return {name for line in report for name in _THING.findall(line)}


def public_key(pem: str) -> bytes | None:
    """Returns the P-256 public key in a request or a certificate; nothing when there is none."""
    found = _PEM.search(pem)
    try:
        der = base64.b64decode(found["body"]) if found else b""
    except ValueError:
        return None
    start = der.find(_PUBLIC_KEY)
    point = der[start + len(_PUBLIC_KEY) :][:_POINT_BYTES] if start >= 0 else b""
    return point if len(point) == _POINT_BYTES else None


def _entry(parameters: Path, line: str) -> dict[str, str]:
    """Returns one line of a task's parameters.

    Raises:
        FleetCloudError: The file has been changed.
    """
    with contextlib.suppress(ValueError):
        found = parsed(line)
        if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
            return found
    raise FleetCloudError(
        f"a line of {parameters} was not written by bulk: {line[:80]!r}",
        remedy="choose another --out",
        code="record-unreadable",
    )


def _pems(value: object) -> Iterator[str]:
    if isinstance(value, str) and "-----BEGIN CERTIFICATE-----" in value:
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _pems(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _pems(inner)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # somebody's files lie in it, or it is gone
        folder.rmdir()
