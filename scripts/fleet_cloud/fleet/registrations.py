"""The record of a thing's registrations in the registry, read and written by an operator."""

import dataclasses
import json
from collections.abc import Mapping

from fleet_cloud.aws.calls import Aws, text
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.fleet import inventory
from fleet_cloud.local.shell import Command
from fleet_cloud.plan.hook.registration import ATTRIBUTE, HASH, Registration


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """The record of a thing, and the thing's version that has it."""

    thing: str
    version: int
    registration: Registration


def of(attributes: Mapping[str, object]) -> Registration:
    """Returns what is remembered in the attributes of a thing."""
    return Registration.read(attributes.get(ATTRIBUTE))


def second_claim(attributes: Mapping[str, object]) -> str | None:
    """Returns the id of the certificate that came by a claim though the thing had one; nothing for none."""
    return of(attributes).second or None


def let_in(thing: str) -> str:
    """Returns, for people, how to admit a device with another key."""
    return (
        f"fleet-cloud devices allow {thing} --key HASH   (fleet-agent key --print-hash prints HASH on the device; "
        "--any-key accepts the first device that registers)"
    )


def ask(aws: Aws, thing: str) -> Known:
    """Asks for a thing.

    Raises:
        FleetCloudError: There is none.
    """
    (described,) = aws.ask_all([aws.command("iot", "describe-thing", "--thing-name", thing)])
    if described is None:
        raise FleetCloudError(
            f"there is no thing {thing} in {aws.region}",
            remedy="type: fleet-cloud devices waiting   to see who was refused; announce a new device with "
            "fleet-cloud devices expect; check --region",
            code="thing-missing",
        )
    version = described.get("version")
    return Known(
        thing=text(described, "thingName"),
        version=version if isinstance(version, int) else 0,
        registration=of(inventory.attributes(described)),
    )


def write(aws: Aws, known: Known, registration: Registration) -> Command:
    """Returns the command that writes it, unless somebody else has changed the thing meanwhile."""
    return aws.command(
        "iot",
        "update-thing",
        *("--thing-name", known.thing),
        *("--attribute-payload", payload(registration.attribute, merge=True)),
        *("--expected-version", str(known.version)),
    )


def payload(attributes: Mapping[str, str], *, merge: bool = False) -> str:
    """Returns attributes as the AWS CLI takes them; merged into those that exist, or in their place."""
    given: dict[str, object] = {"attributes": dict(attributes)}
    return json.dumps({**given, "merge": True} if merge else given, separators=(",", ":"))


def check_hash(given: str, where: str) -> str:
    """Returns the hash of a public key as it is compared.

    Raises:
        UsageError: It is not a SHA-256 in hexadecimal.
    """
    found = given.strip().lower().replace(":", "")
    if not HASH.fullmatch(found):
        raise UsageError(
            f"{where}: {given!r} is not a SHA-256 of a public key",
            remedy="write 64 hexadecimal digits, as fleet-agent key --print-hash does on the device",
        )
    return found
