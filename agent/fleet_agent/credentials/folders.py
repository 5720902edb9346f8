"""The numbered folders of the credential store, as found on disk. Only reads.

A damaged file is named, with the remedy; a link where the folders should be is refused.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fleet_agent import files, foreign
from fleet_agent.credentials import records
from fleet_agent.credentials.model import Generation
from fleet_agent.errors import CREDENTIAL_DAMAGED, STATE_DAMAGED, DeviceError, StateDamagedError

_T = TypeVar("_T")

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
        """Returns a generation's folder."""
        return self.root / f"{number:04d}"

    # What is there --------------------------------------------------------------------------------------------------

    def numbers(self) -> list[int]:
        """The numbers of all generations, ascending."""
        self._refuse_link()
        names = [name for name in files.names(self.root) if name.isdecimal()]
        return sorted(int(name) for name in names if files.is_folder(self.root / name))

    def _refuse_link(self) -> None:
        """Whoever may create links here could have keys written to where they can read them."""
        if files.is_link(self.root):
            raise StateDamagedError(
                f"{self.root} is a symbolic link, which is not allowed.",
                remedy="Replace it by a folder; to keep the state elsewhere, use --state-dir or state_dir.",
                code=STATE_DAMAGED,
            )

    def current_number(self) -> int:
        """The number that ``current`` points to; 0: there is none."""
        self._refuse_link()
        link = self.root / CURRENT
        try:
            name = files.link(link)
        except StateDamagedError as error:
            if error.code == STATE_DAMAGED and files.is_folder(self.root):
                error.remedy = self._goes_on()
            raise
        if name is None:
            return 0
        if not name.isdecimal():
            raise StateDamagedError(
                f"{link} points to {name!r}, which is not a generation.",
                remedy=self._goes_on(),
                code=STATE_DAMAGED,
            )
        return int(name)

    def _goes_on(self) -> str:
        move = files.move_aside(self.root / CURRENT)
        return f"{move}; the agent then uses the newest generation that was proven."

    def read(self, number: int) -> Generation | None:
        """A generation; None when it has no record of what it is for."""
        folder = self.folder(number)
        attempt = self.load(number, ATTEMPT, records.load_attempt)
        if attempt is None:
            return None
        return Generation(
            number=number,
            attempt=attempt,
            has_key=files.is_there(folder / KEY) or files.is_there(folder / HARDWARE_KEY),
            issued=self.load(number, ISSUED, records.load_issued),
            registration=self.load(number, REGISTRATION, records.load_registration),
            proven=self.load(number, PROVEN, records.load_proven),
            uptime=self.load(number, PROVEN, records.load_uptime),
        )

    def load(self, number: int, name: str, load: Callable[[Mapping[str, Any]], _T]) -> _T | None:
        """A record of a generation, parsed; None when there is no file."""
        value = self._read_json(number, name)
        try:
            return None if value is None else load(value)
        except KeyError as error:
            raise self._damaged(number, name, f"it has no {error.args[0]}") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise self._damaged(number, name, str(error)) from error

    def text(self, number: int, name: str) -> str:
        """The text of a file that must be there.

        Raises:
            DeviceError: It is missing.
        """
        path = self.folder(number) / name
        data = self._read(number, name)
        if data is None:
            raise DeviceError(
                f"{path} is missing.",
                remedy="Provision again: fleet-agent provision --force",
                code=CREDENTIAL_DAMAGED,
            )
        return data.decode("ascii", "replace")

    def _read_json(self, number: int, name: str) -> dict[str, Any] | None:
        data = self._read(number, name)
        if data is None:
            return None
        try:
            value = foreign.read(data)
        except ValueError as error:
            raise self._damaged(number, name, str(error)) from error
        if not isinstance(value, dict):
            raise self._damaged(number, name, "not a JSON object")
        return value

    def _read(self, number: int, name: str) -> bytes | None:
        try:
            return files.read(self.folder(number) / name)
        except StateDamagedError as error:
            if error.code == STATE_DAMAGED:
                error.remedy = self._cure(number, name)
            raise

    def _damaged(self, number: int, name: str, damage: str) -> StateDamagedError:
        return StateDamagedError(
            f"{self.folder(number) / name} is damaged: {damage}.",
            remedy=self._cure(number, name),
            code=STATE_DAMAGED,
        )

    def _cure(self, number: int, name: str) -> str:
        if number > self.current_number():
            return "Discard the attempt and start over: fleet-agent provision --restart"
        if name == PROVEN:
            return f"{files.move_aside(self.folder(number) / name)}; the identity is complete without it."
        return "Provision again: fleet-agent provision --force (the ledger names the old certificate)."
