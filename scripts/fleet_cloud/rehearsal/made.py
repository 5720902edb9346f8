"""What a rehearsal created in the account: recorded before anything else is done with it, and deleted again."""

import collections
import json
import threading
from collections.abc import Mapping
from pathlib import Path

from fleet_cloud.aws.calls import Aws, strings
from fleet_cloud.aws.names import Account
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.errors import CommandError, FleetCloudError
from fleet_cloud.fleet import deletion
from fleet_cloud.fleet.inventory import ACTIVE, Certificate, Thing
from fleet_cloud.local import files

FILE = "made.jsonl"
_PENDING = "PENDING_ACTIVATION"


class MadeFile:
    """The file: a line for each certificate that was issued, and one for each thing that got it."""

    def __init__(self, folder: Path) -> None:
        self.path = files.inside(folder, FILE)
        self._lock = threading.Lock()

    def certificate(self, identifier: str) -> None:
        """A certificate was issued."""
        self._append({"certificate": identifier})

    def thing(self, name: str, identifier: str) -> None:
        """A thing has it."""
        self._append({"certificate": identifier, "thing": name})

    def read(self) -> dict[str, str]:
        """Returns the certificates, each with its thing; with nothing where it has none.

        Raises:
            FleetCloudError: The file says something else.
        """
        found: dict[str, str] = {}
        for line in (files.read(self.path) or "").splitlines():
            try:
                noted = json.loads(line)
                identifier, thing = noted["certificate"], noted.get("thing", "")
            except (ValueError, TypeError, LookupError):
                if not line.endswith("}"):
                    continue  # cut off in the middle, and so before its certificate was used
                raise FleetCloudError(
                    f"{self.path} was not written by a rehearsal",
                    remedy="choose another --out; its things begin with the serial numbers of the rehearsal",
                    code="record-unreadable",
                ) from None
            found[str(identifier)] = str(thing) or found.get(str(identifier), "")
        return found

    def clean(self, aws: Aws, account: Account) -> dict[str, CommandError]:
        """Deletes all of it in AWS; returns what could not be, and forgets the rest where nothing is left."""
        things: dict[str, list[Certificate]] = collections.defaultdict(list)
        for identifier, thing in self._with_things(aws, account).items():
            arn = account.iot(f"cert/{identifier}")
            status = ACTIVE if thing else _PENDING
            things[thing].append(Certificate(arn=arn, status=status, created=None))
        bare = things.pop("", [])
        tasks = [
            (
                name,
                deletion.thing_commands(aws, Thing(name=name, attributes={}, certificates=held)),
            )
            for name, held in things.items()
        ]
        tasks += [
            (certificate.identifier, deletion.certificate_commands(aws, certificate))
            for certificate in bare
        ]
        left = run_all(aws, tasks, "deleting what was created")
        if not left and not aws.shell.dry_run:
            files.remove(self.path)
        return left

    def _with_things(self, aws: Aws, account: Account) -> dict[str, str]:
        """Returns the certificates with their things, AWS asked where an answer may have been lost."""
        found = self.read()
        unknown = [identifier for identifier, thing in found.items() if not thing]
        answers = aws.ask_all(
            [
                aws.command(
                    "iot",
                    "list-principal-things",
                    *("--principal", account.iot(f"cert/{identifier}")),
                )
                for identifier in unknown
            ],
            "looking up the thing of each certificate",
        )
        for identifier, answer in zip(unknown, answers, strict=True):
            found[identifier] = next(iter(strings(answer, "things")), "")
        return found

    def _append(self, noted: Mapping[str, str]) -> None:
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(noted)}\n")
