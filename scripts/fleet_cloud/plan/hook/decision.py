"""Whether a device may register: the rule that keeps a thing in service from being taken over.

A thing that never had a certificate is open, or, where its key is expected, open to that key. One that had takes only
the key of a certificate that it has or was let in with last, its expected key, a session under its own certificate, and
what an operator lets in. Of two that register at once, a conditional write lets one win.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from fleet_cloud.plan.hook.certificate import key_hash
from fleet_cloud.plan.hook.registration import NOTHING, Registration
from fleet_cloud.plan.hook.registry import Registry, Thing

# Seconds lie between this answer and the thing's certificate. Who was interrupted there comes again with the same key,
# which is always let in, or with another one after this time.
UNDER_WAY_SECONDS = 600

_TRIES = 3  # somebody else's write may come between


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What asks.

    Args:
        thing: The name of the thing that it would be.
        certificate: The id of its new certificate.
        key: The hash of its public key.
        session: The id of the certificate under which it asks: a claim's, or the thing's own.
    """

    thing: str
    certificate: str
    key: str
    session: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Making:
    """How a thing is made that is not there: the template leaves type and groups of one that is there as they are."""

    attributes: Mapping[str, str]
    where: Mapping[str, str]
    groups: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision; of a yes, what is remembered of it."""

    allowed: bool
    why: str
    registration: Registration = NOTHING


def decide(
    request: Request, registry: Registry, making: Making, now: float, *, only: bool
) -> Verdict:
    """Returns whether a device may register; a yes is written down before it is given.

    Args:
        request: What asks.
        registry: Asked, and written to.
        making: How the thing is made.
        now: Seconds since 1970.
        only: What is not in the registry yet is not let in.
    """
    for _ in range(_TRIES):
        thing = registry.thing(request.thing)
        verdict = judge(request, thing, registry, now, only=only)
        if not verdict.allowed or _is_written(request, verdict, thing, registry, making):
            return verdict
    return Verdict(allowed=False, why="others registered this thing at the same time")


def judge(
    request: Request, thing: Thing | None, registry: Registry, now: float, *, only: bool
) -> Verdict:
    """Returns the decision on a thing as it is now; writes nothing."""
    things = registry.things_of(request.session)
    if things and request.thing not in things:
        return _no(f"under the certificate of another thing, {things[0]}")
    if thing is None:
        return _no("it is not expected") if only else _yes(request, NOTHING, now, "new")
    known = thing.registration
    if things:
        return _yes(request, _given(known), now, "under the thing's own certificate")
    if request.key == known.expected:
        return _again(request, known, now, "the expected key")
    if request.key == known.key:
        return _again(request, known, now, "the same key again")
    return _of_another_key(request, known, registry, now)


def _of_another_key(
    request: Request, known: Registration, registry: Registry, now: float
) -> Verdict:
    """Returns the decision on a key of which the thing has no mark."""
    has = registry.certificates_of(request.thing)
    if request.certificate in has:
        return _yes(request, _given(known), now, "the same certificate again")
    known = _given(known) if has else known
    if known.any_key and now < known.until:
        used = dataclasses.replace(known, until=0, any_key=False)
        return _again(request, used, now, "another key, in the window of an operator")
    if any(request.key == key_hash(registry.pem_of(identifier)) for identifier in has):
        return _again(request, known, now, "the key of a certificate that it has")
    if why := _objection(known, now):
        return _no(why)
    return _yes(request, known, now, "it never had a certificate")


def _objection(known: Registration, now: float) -> str | None:
    if known.given:
        return "it has, or had, a certificate, and this is another key"
    if known.expected:
        return "another key is expected"
    if known.key and now < known.at + UNDER_WAY_SECONDS:
        return "another key is registering it at this moment"
    return None


def _is_written(
    request: Request, verdict: Verdict, thing: Thing | None, registry: Registry, making: Making
) -> bool:
    """Returns whether the yes stands: no other device has registered the thing meanwhile."""
    known = verdict.registration
    if thing is None:
        attributes = {**making.attributes, **known.attribute}
        if not registry.create(request.thing, attributes, making.where):
            return False
    elif not registry.remember(request.thing, known, thing.version):
        return False
    if not known.given:
        # Where an earlier try was interrupted before this, or an operator made the thing by hand.
        registry.put_into(request.thing, making.groups)
    return True


def _given(known: Registration) -> Registration:
    return dataclasses.replace(known, given=True)


def _no(why: str) -> Verdict:
    return Verdict(allowed=False, why=why)


def _yes(request: Request, known: Registration, now: float, why: str) -> Verdict:
    remembered = known.let_in(request.key, request.certificate, now)
    return Verdict(allowed=True, why=why, registration=remembered)


def _again(request: Request, known: Registration, now: float, why: str) -> Verdict:
    """Returns a yes by a claim; for a thing that had a certificate it is a second one, and is remembered as such."""
    if known.given and not known.is_of(request.certificate):
        known = dataclasses.replace(known, second=request.certificate)
    return _yes(request, known, now, why)
