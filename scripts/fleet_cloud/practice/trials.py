"""Numbered trial things, and the record of them: thing_0, thing_1, …, each with a policy policy-thing_N."""

import dataclasses
import re
from pathlib import Path

from fleet_cloud.aws.names import Account
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.fleet.connection import Identity
from fleet_cloud.local import files, records
from fleet_cloud.local.records import RecordFile
from fleet_cloud.plan.documents import Document

RECORD = "things.json"
# Of each thing: AWS reports that it already exists if a thing of that name has other attributes.
ATTRIBUTES = {"madeBy": "fleet-cloud"}

_THING = re.compile(r"thing_[0-9]{1,4}")
_CERTIFICATE = re.compile(r"arn:[a-z-]+:iot:[0-9a-z-]+:[0-9]+:cert/[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """Where the things are, and each with its certificate's ARN."""

    account: str
    region: str
    things: dict[str, str]

    def __post_init__(self) -> None:
        """Checks the values: what they name is deleted.

        Raises:
            ValueError: One is not what things create writes.
        """
        place = f":iot:{self.region}:{self.account}:"
        for thing, arn in self.things.items():
            if not _THING.fullmatch(thing):
                raise ValueError(f"{thing!r} is not the name of a trial thing")
            if not _CERTIFICATE.fullmatch(arn) or place not in arn:
                raise ValueError(
                    f"{arn!r} is not a certificate in {self.region} of {self.account}"
                )


@dataclasses.dataclass(frozen=True)
class TrialFolder:
    """The folder with the record, the keys and the certificates."""

    path: Path

    def identity(self, thing: str) -> Identity:
        """Returns what a thing connects with."""
        return Identity(
            certificate=files.inside(self.path, f"{thing}.certificate.pem.crt"),
            key=files.inside(self.path, f"{thing}.private.pem.key"),
        )

    def read(self) -> Record | None:
        """Returns the record; nothing when there is none.

        Raises:
            FleetCloudError: The file is not a record.
        """
        return self._record.read()

    def of_account(self, account: Account) -> Record:
        """Returns the record, or an empty one.

        Raises:
            FleetCloudError: It is another account's or region's.
        """
        found = self.read()
        here = Record(account=account.number, region=account.region, things={})
        if found and (other := records.difference(found, here, ("account", "region"))):
            raise FleetCloudError(
                f"the things of {self.path} have {other}",
                remedy="pass the --region and --profile they were created with, or another --out",
                code="record-of-another",
            )
        return found or here

    def write(self, record: Record) -> None:
        """Keeps the record."""
        self._record.write(record)

    def clear(self, record: Record) -> None:
        """Removes the files of these things, and the record."""
        for thing in record.things:
            who = self.identity(thing)
            files.remove(who.certificate)
            files.remove(who.key)
        self._record.remove()

    @property
    def _record(self) -> RecordFile[Record]:
        return RecordFile(self.path, RECORD, Record, "things")


def topic_of(thing: str) -> str:
    """Returns where a thing publishes unless something else is said."""
    return f"elf/{thing}"


def policy(account: Account, thing: str, topic: str) -> Document:
    """Returns what a thing may do: connect under its name, and publish to one topic."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": account.iot(f"client/{thing}"),
            },
            {
                "Effect": "Allow",
                "Action": "iot:Publish",
                "Resource": account.iot(f"topic/{topic}"),
            },
        ],
    }
