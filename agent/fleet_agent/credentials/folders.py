"""The numbered folders of the credential store, as they are found on disk: reads, and never writes.

What is damaged is called so by name, with the way out; a link where the folders should be is refused.
"""

import json
from pathlib import Path
from typing import Any

from fleet_agent import files
from fleet_agent.credentials import records
from fleet_agent.credentials.model import Generation
from fleet_agent.errors import CREDENTIAL_DAMAGED, STATE_DAMAGED, DeviceError, StateDirectoryError

ATTEMPT = "attempt.json"
KEY = "private.pem.key"
HARDWARE_KEY = "key.json"
CERTIFICATE = "certificate.pem.crt"
ISSUED = "issued.json"
REGISTRATION = "registration.json"
PROVEN = "proven"
CURRENT = "current"


class Folders:
    """The folder ``credentials`` of one state directory.

    Every method raises ``StateDirectoryError`` for what is damaged or cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, number: int) -> Path:
        """Where a generation lives."""
        return self.root / f"{number:04d}"

    # What is there --------------------------------------------------------------------------------------------------

    def numbers(self) -> list[int]:
        """The numbers of all generations, ascending."""
        self._refuse_link()
        try:
            names = [path.name for path in self.root.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StateDirectoryError(
                f"Cannot look into {self.root}: {error.strerror}.",
                remedy="Run as its owner or as root.",
                code="state-not-readable",
            ) from error
        return sorted(int(name) for name in names if name.isdecimal())

    def _refuse_link(self) -> None:
        """Whoever may make links here could have keys written where he reads them."""
        if files.is_link(self.root):
            raise StateDirectoryError(
                f"{self.root} is a symbolic link, which is refused.",
                remedy="Put a folder there; to keep the state elsewhere: --state-dir or state_dir.",
                code=STATE_DAMAGED,
            )

    def current_number(self) -> int:
        """The number that ``current`` points to; 0: there is none."""
        self._refuse_link()
        link = self.root / CURRENT
        try:
            name = str(link.readlink())
        except FileNotFoundError:
            return 0
        except OSError as error:
            in_file = isinstance(error, NotADirectoryError)
            fault = "in a file, not a folder" if in_file else "no symbolic link that can be read"
            raise StateDirectoryError(
                f"{link} is {fault}: {error.strerror}.",
                remedy="Choose another place with --state-dir or state_dir."
                if in_file
                else "See what is there; the agent makes it a link to a generation such as 0001.",
                code=STATE_DAMAGED,
            ) from error
        if not name.isdecimal():
            raise StateDirectoryError(
                f"{link} points to {name!r}, which is no generation.",
                remedy="Point it back to the newest complete folder beside it: ln -sfn 0001 current",
                code=STATE_DAMAGED,
            )
        return int(name)

    def read(self, number: int) -> Generation | None:
        """A generation; None when it has no record of what it is for."""
        folder = self.folder(number)
        attempt = self.read_json(number, ATTEMPT)
        if attempt is None:
            return None
        issued = self.read_json(number, ISSUED)
        registration = self.read_json(number, REGISTRATION)
        proven = self.read_json(number, PROVEN)
        try:
            return Generation(
                number=number,
                attempt=records.load_attempt(attempt),
                has_key=files.is_there(folder / KEY) or files.is_there(folder / HARDWARE_KEY),
                issued=None if issued is None else records.load_issued(issued),
                registration=None
                if registration is None
                else records.load_registration(registration),
                proven=None if proven is None else records.load_proven(proven),
                uptime=None if proven is None else records.load_uptime(proven),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self.damaged(number, folder, str(error)) from error

    def text(self, number: int, name: str) -> str:
        """The text of a file that must be there.

        Raises:
            DeviceError: It is missing.
        """
        path = self.folder(number) / name
        data = files.read(path)
        if data is None:
            raise DeviceError(
                f"{path} is missing.",
                remedy="Provision again: fleet-agent provision --force",
                code=CREDENTIAL_DAMAGED,
            )
        return data.decode("ascii", "replace")

    def read_json(self, number: int, name: str) -> dict[str, Any] | None:
        """A JSON object from a file; None when there is no file."""
        path = self.folder(number) / name
        data = files.read(path)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except ValueError as error:
            raise self.damaged(number, path, str(error)) from error
        if not isinstance(value, dict):
            raise self.damaged(number, path, "not a JSON object")
        return value

    def damaged(self, number: int, path: Path, damage: str) -> StateDirectoryError:
        """The error of a damaged file."""
        remedy = (
            "Drop the attempt and start again: fleet-agent provision --restart"
            if number > self.current_number()
            else "Provision again: fleet-agent provision --force (the ledger names the old certificate)."
        )
        return StateDirectoryError(
            f"{path} is damaged: {damage}.", remedy=remedy, code=STATE_DAMAGED
        )
