"""Which certificates no device uses any more: decided from what AWS says, and from a ledger only as far as it goes.

A newer certificate on a thing proves nothing by itself: whoever takes a thing over has a newer one, too. So where a
thing has more than one active certificate, its age retires none. A ledger is a file from a device, and so speaks for
that device alone: for certificates on its own thing, and for those on no thing that are this fleet's.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

from fleet_cloud.aws.calls import Aws, entries, strings
from fleet_cloud.fleet.inventory import ACTIVE, Certificate, Devices, Holdings, Thing
from fleet_cloud.fleet.ledger import Ledger

PENDING = "PENDING_ACTIVATION"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A certificate to retire, why, and the things it is on."""

    certificate: Certificate
    reason: str
    things: Sequence[str] = ()


def by_age(devices: Devices, before: dt.datetime) -> Iterator[Candidate]:
    """Yields what a thing's one active certificate, made before a moment, supersedes; and what has no thing."""
    for thing in devices.things:
        active = active_on(thing)
        if len(active) != 1 or active[0].created is None or active[0].created > before:
            continue
        for certificate in thing.certificates[thing.certificates.index(active[0]) + 1 :]:
            yield Candidate(certificate=certificate, reason="superseded", things=[thing.name])
    for certificate in devices.orphans:
        yield Candidate(certificate=certificate, reason="orphaned")


def active_on(thing: Thing) -> list[Certificate]:
    """Returns the certificates that a thing may connect with."""
    return [certificate for certificate in thing.certificates if certificate.status == ACTIVE]


def undecided(devices: Devices, chosen: Sequence[Candidate]) -> list[Thing]:
    """Returns the things that keep more than one active certificate."""
    gone = {candidate.certificate.arn for candidate in chosen}
    return [
        thing
        for thing in devices.things
        if sum(certificate.arn not in gone for certificate in active_on(thing)) > 1
    ]


def named(devices: Devices, chosen: Sequence[Certificate]) -> Iterator[Candidate]:
    """Yields what an operator named, with what that does to its thing."""
    for certificate in chosen:
        things = [thing for thing in devices.things if certificate in thing.certificates]
        is_last = any(active_on(thing) == [certificate] for thing in things)
        yield Candidate(
            certificate=certificate,
            reason="named, and the only active one of its thing" if is_last else "named",
            things=[thing.name for thing in things],
        )


def by_ledger(
    aws: Aws, held: Holdings, devices: Devices, ledger: Ledger, thing: str | None
) -> Iterator[Candidate]:
    """Yields what a ledger gives up and may give up.

    Args:
        aws: Looks up what those have that are on no thing of the fleet.
        held: The account's certificates.
        devices: The fleet's.
        ledger: What the device says.
        thing: Whose ledger it is, where an operator says so; nothing: the thing of the certificate in use.
    """
    claims = {claim.arn for claim in held.claims}
    listed = [
        certificate
        for certificate in held.certificates.values()
        if certificate.identifier in ledger.given_up and certificate.arn not in claims
    ]
    on = holders(devices)
    own = thing or _own(devices, ledger)
    loose = [certificate for certificate in listed if certificate.arn not in on]
    unused = _unused(aws, held, loose)
    for certificate in listed:
        if on.get(certificate.arn) == [own] or certificate in unused:
            yield Candidate(
                certificate=certificate, reason="ledger", things=on.get(certificate.arn, [])
            )


def holders(devices: Devices) -> Mapping[str, Sequence[str]]:
    """Returns the fleet's things that have a certificate, by its ARN."""
    found: dict[str, list[str]] = {}
    for thing in devices.things:
        for certificate in thing.certificates:
            found.setdefault(certificate.arn, []).append(thing.name)
    return found


def _own(devices: Devices, ledger: Ledger) -> str | None:
    """Returns the thing that has the certificate in use, if that is one thing."""
    found = {
        thing.name
        for thing in devices.things
        for certificate in active_on(thing)
        if certificate.identifier in ledger.in_use
    }
    return found.pop() if len(found) == 1 else None


def _unused(aws: Aws, held: Holdings, loose: Sequence[Certificate]) -> list[Certificate]:
    """Returns those on no thing that have this fleet's policy alone, or none and are still pending."""
    things = aws.ask_all(
        [
            aws.command("iot", "list-principal-things", "--principal", certificate.arn)
            for certificate in loose
        ]
    )
    policies = aws.ask_all(
        [
            aws.command("iot", "list-attached-policies", "--target", certificate.arn)
            for certificate in loose
        ]
    )
    ours = {certificate.arn for certificate in held.devices}
    found = []
    for certificate, holds, has in zip(loose, things, policies, strict=True):
        attached = len(entries(has, "policies"))
        is_ours = (certificate.arn in ours and attached == 1) or (
            attached == 0 and certificate.status == PENDING
        )
        if is_ours and not strings(holds, "things"):
            found.append(certificate)
    return found
