"""A run's folder: what it has made that bears no name of its own, written before anything is done with it."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleet_acceptance.account.listing import RUN, Listing
from fleet_acceptance.device import keys

_BEFORE = "before.json"
_CERTIFICATES = "certificates.jsonl"


class Folder:
    """The folder ``OUT/acc-123456``, 0700: keys, devices, and the record of certificates."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run = path.name

    @classmethod
    def new(cls, out: Path) -> "Folder":
        """Makes the folder of a new run."""
        path = out / f"acc-{secrets.token_hex(3)}"
        path.mkdir(mode=0o700, parents=True)
        return cls(path)

    @classmethod
    def all_in(cls, out: Path) -> Iterator["Folder"]:
        """Yields those that earlier runs left."""
        for path in sorted(out.glob("acc-*")):
            if path.is_dir() and RUN.fullmatch(path.name):
                yield cls(path)

    def write_before(self, listing: Listing) -> None:
        """Keeps what was in the account."""
        (self.path / _BEFORE).write_text(json.dumps(listing))

    def before(self) -> Listing | None:
        """Gives what was in the account; None where the run did not come that far."""
        try:
            found: Listing = json.loads((self.path / _BEFORE).read_text())
        except (OSError, ValueError):
            return None
        return found

    def add(self, certificate_id: str) -> None:
        """Records a certificate, on disk before anything is done with it."""
        with (self.path / _CERTIFICATES).open("a") as file:
            file.write(json.dumps({"certificate_id": certificate_id}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def certificates(self) -> list[str]:
        """Gives every certificate that is recorded here, or in the ledger of one of the devices."""
        found = []
        for file in (self.path / _CERTIFICATES, *self.path.glob("devices/*/state/ledger.jsonl")):
            found += [str(entry["certificate_id"]) for entry in _lines(file)]
        return list(dict.fromkeys(found))

    def public_keys(self) -> set[bytes]:
        """Gives the public part of every key that was made here, by this command or a device."""
        found = set()
        for file in self.path.rglob("*.key"):
            with contextlib.suppress(OSError, ValueError):
                found.add(keys.public_part(file.read_text()))
        return found


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off by a kill
        if isinstance(entry, dict) and "certificate_id" in entry:
            yield entry
