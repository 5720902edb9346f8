"""What of the account's things and certificates is this fleet's.

A certificate is known by its policy: NAME-claim makes it a claim, NAME-device a device's. A thing is known by its
certificate, or by its name being the fleet's prefix and its own attribute serialNumber; a name alone that begins so
may be another fleet's.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, Aws, entries, strings, text
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.errors import UsageError
from fleet_cloud.local.shell import Command

ACTIVE = "ACTIVE"

_SHORTEST_ID = 6  # characters that name a certificate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate in AWS IoT."""

    arn: str
    status: str
    created: dt.datetime | None

    @property
    def identifier(self) -> str:
        """Its id: 64 hexadecimal digits."""
        return self.arn.rpartition("/")[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing:
    """A device of this fleet, with its certificates, the newest first."""

    name: str
    attributes: Mapping[str, object]
    certificates: Sequence[Certificate]

    @property
    def state(self) -> str:
        """``active`` when it could connect, ``inactive``, or ``no certificate``."""
        if not self.certificates:
            return "no certificate"
        return (
            "active"
            if any(certificate.status == ACTIVE for certificate in self.certificates)
            else "inactive"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holdings:
    """The account's certificates, and which of them have the fleet's policies: three questions, however many devices.

    Args:
        certificates: All of the account, by ARN.
        claims: Those with the claim policy.
        devices: Those with the device policy.
    """

    certificates: Mapping[str, Certificate]
    claims: Sequence[Certificate]
    devices: Sequence[Certificate]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Devices:
    """The fleet's things, and certificates with the device policy that no thing has."""

    things: Sequence[Thing]
    orphans: Sequence[Certificate]


def targets(aws: Aws, policy: str) -> Command:
    """Returns the command that lists what a policy is attached to."""
    return aws.command("iot", "list-targets-for-policy", "--policy-name", policy)


def holdings(aws: Aws, names: FleetNames) -> Holdings:
    """Asks for the account's certificates and the fleet's policies' targets."""
    claims, devices, listed = aws.ask_all(
        [
            targets(aws, names.claim_policy),
            targets(aws, names.device_policy),
            aws.command("iot", "list-certificates"),
        ]
    )
    found = [_certificate(entry) for entry in entries(listed, "certificates")]
    known = {certificate.arn: certificate for certificate in found}
    return Holdings(
        certificates=known, claims=_known(known, claims), devices=_known(known, devices)
    )


def things(aws: Aws, names: FleetNames, held: Holdings) -> Devices:
    """Asks for the fleet's things and which certificate each has: one query for each thing."""
    prefix = names.thing_prefix
    listed = aws.ask(aws.command("iot", "list-things"))
    known = {text(entry, "thingName"): attributes(entry) for entry in entries(listed, "things")}
    beginning = {name: its for name, its in known.items() if name.startswith(prefix)}
    principals = of_things(aws, beginning)
    ours = {certificate.arn for certificate in held.devices}
    found = [
        Thing(name=name, attributes=beginning[name], certificates=_newest(held, arns))
        for name, arns in principals.items()
        if ours & {*arns} or is_named(names, name, beginning[name])
    ]
    with_thing = {certificate.arn for thing in found for certificate in thing.certificates}
    rest = [certificate for certificate in held.devices if certificate.arn not in with_thing]
    elsewhere = _things_of(aws, rest)
    named = {name for held_by in elsewhere.values() for name in held_by}
    found += [
        Thing(name=name, attributes=known.get(name, {}), certificates=_newest(held, arns))
        for name, arns in of_things(aws, sorted(named)).items()
    ]
    return Devices(
        things=sorted(found, key=lambda thing: thing.name),
        orphans=[certificate for certificate in rest if not elsewhere[certificate.arn]],
    )


def some_things(aws: Aws, names: FleetNames, held: Holdings, given: Sequence[str]) -> list[Thing]:
    """Asks for those of these things that are the fleet's: two questions each, however many the fleet has."""
    asked = [*dict.fromkeys(given)]
    described = aws.ask_all(
        [aws.command("iot", "describe-thing", "--thing-name", name) for name in asked]
    )
    there = {
        name: attributes(answer)
        for name, answer in zip(asked, described, strict=True)
        if answer is not None
    }
    ours = {certificate.arn for certificate in held.devices}
    return [
        Thing(name=name, attributes=there[name], certificates=_newest(held, arns))
        for name, arns in of_things(aws, there).items()
        if ours & {*arns} or is_named(names, name, there[name])
    ]


def pick(
    found: Sequence[Certificate], given: Sequence[str], shown_by: str, of: str = "certificate"
) -> list[Certificate]:
    """Returns the certificates whose ids begin so, each once.

    Args:
        found: Of these.
        given: The beginnings.
        shown_by: The command that shows ids.
        of: What they are, for people.

    Raises:
        UsageError: One begins no id, or several.
    """
    picked: list[Certificate] = []
    for beginning in given:
        fits = [
            certificate
            for certificate in found
            if certificate.identifier.startswith(beginning.lower())
        ]
        if len(beginning) < _SHORTEST_ID or len(fits) != 1:
            raise UsageError(
                f"{beginning!r} does not identify one {of}: it fits {len(fits)}",
                remedy=f"pass {_SHORTEST_ID} or more characters of an id that fleet-cloud {shown_by} shows",
            )
        picked += [certificate for certificate in fits if certificate not in picked]
    return picked


def is_named(names: FleetNames, name: str, attributes: Mapping[str, object]) -> bool:
    """Whether a thing's name is what the fleet's template makes of its serial number."""
    serial = attributes.get("serialNumber")
    return isinstance(serial, str) and name == names.thing_prefix + serial


def of_things(aws: Aws, named: Iterable[str]) -> dict[str, list[str]]:
    """Looks up which certificates each thing has."""
    asked = [*named]
    answers = aws.ask_all(
        [aws.command("iot", "list-thing-principals", "--thing-name", name) for name in asked],
        "looking up the certificates of each thing",
    )
    return {
        name: strings(answer, "principals") for name, answer in zip(asked, answers, strict=True)
    }


def _things_of(aws: Aws, certificates: Sequence[Certificate]) -> dict[str, list[str]]:
    answers = aws.ask_all(
        [
            aws.command("iot", "list-principal-things", "--principal", certificate.arn)
            for certificate in certificates
        ],
        "looking up the thing of each certificate",
    )
    return {
        certificate.arn: strings(answer, "things")
        for certificate, answer in zip(certificates, answers, strict=True)
    }


def _certificate(entry: Mapping[str, object]) -> Certificate:
    return Certificate(
        arn=text(entry, "certificateArn"),
        status=text(entry, "status"),
        created=times.moment(entry.get("creationDate")),
    )


def _known(known: Mapping[str, Certificate], answer: Answer | None) -> list[Certificate]:
    return [known[arn] for arn in strings(answer, "targets") if arn in known]


def _newest(held: Holdings, arns: Iterable[str]) -> list[Certificate]:
    found = [held.certificates[arn] for arn in arns if arn in held.certificates]
    never = dt.datetime.fromtimestamp(0, dt.UTC)
    return sorted(found, key=lambda certificate: certificate.created or never, reverse=True)


def attributes(entry: Mapping[str, object]) -> Mapping[str, object]:
    """Returns a thing's attributes out of a listing."""
    found = entry.get("attributes")
    return found if isinstance(found, Mapping) else {}
