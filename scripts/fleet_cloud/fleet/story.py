"""One story of what happened to a device, out of several logs; and what is probably behind it. Pure.

Every text in it is somebody else's: the device's, AWS's, the hook's. It is shown escaped, by the console.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, entries
from fleet_cloud.fleet import registrations
from fleet_cloud.fleet.presence import Presence
from fleet_cloud.local.json_text import parsed

DEVICE, AWS, HOOK = "device", "AWS", "hook"
_FAILURE = "Failure"
_LONGEST = 200  # characters of a line


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened.

    Args:
        at: When; nothing where nobody says it.
        where: ``device``, ``AWS`` or ``hook``.
        what: In words.
        facts: What the cause is told by.
    """

    at: dt.datetime | None
    where: str
    what: str
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """Whom it is about, as the registry has it.

    Args:
        name: The thing's name, or the client id.
        is_thing: There is such a thing.
        certificates: Its certificates' ids, each with its status.
        presence: Its connection.
    """

    name: str
    is_thing: bool
    certificates: Mapping[str, str]
    presence: Presence


@dataclasses.dataclass(frozen=True)
class Cause:
    """What is probably behind it, and what to type."""

    code: str
    words: str
    remedy: str


def in_order(events: Sequence[Event]) -> list[Event]:
    """Returns events in the order in which they happened; those without a time come first."""
    start = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(events, key=lambda event: event.at or start)


def of_log(answer: Answer | None, client_id: str) -> Iterator[Event]:
    """Yields what AWS IoT's own log says of a client; what answers may have looked at the filter loosely."""
    for entry in entries(answer, "events"):
        line = _object(entry.get("message"))
        if line.get("clientId") != client_id:
            continue
        facts = {key: str(value) for key, value in line.items() if isinstance(value, str | int)}
        named = [
            facts[key]
            for key in ("eventType", "topicName", "status", "reason", "details")
            if key in facts
        ]
        yield Event(
            at=_milliseconds(entry.get("timestamp")),
            where=AWS,
            what=" ".join(named)[:_LONGEST],
            facts=facts,
        )


def of_hook(answer: Answer | None, names: Sequence[str]) -> Iterator[Event]:
    """Yields the hook's decisions on a thing, or on a serial number."""
    for entry in entries(answer, "events"):
        line = _object(entry.get("message"))
        if "allowed" not in line or not {str(line.get("thing")), str(line.get("serial"))} & {
            *names
        }:
            continue
        is_in = line["allowed"] is True
        why = str(line.get("why"))
        yield Event(
            at=_milliseconds(entry.get("timestamp")),
            where=HOOK,
            what=f"{'lets it register' if is_in else 'refuses it'}: {why}"[:_LONGEST],
            facts={"allowed": str(is_in), "why": why},
        )


def of_certificates(found: Mapping[str, Mapping[str, object]]) -> Iterator[Event]:
    """Yields when its certificates were made and changed, by their ids."""
    for identifier, facts in found.items():
        at = times.moment(facts.get("creationDate"))
        yield Event(at=at, where=AWS, what=f"certificate {identifier[:12]}… is made")
        changed, status = times.moment(facts.get("lastModifiedDate")), str(facts.get("status"))
        if changed and at and (changed - at).total_seconds() > 1 and status != "ACTIVE":
            yield Event(
                at=changed,
                where=AWS,
                what=f"certificate {identifier[:12]}… is changed; it is {status} now",
            )


def of_presence(presence: Presence) -> Iterator[Event]:
    """Yields when it came or left."""
    if presence.is_connected is None or presence.since is None:
        return
    what = (
        "connects, and is connected now"
        if presence.is_connected
        else f"is gone: {presence.reason or 'no reason is known'}"
    )
    yield Event(at=presence.since, where=AWS, what=what)


def of_ledger(text: str) -> Iterator[Event]:
    """Yields what a device's ledger says of each certificate."""
    for line in text.splitlines():
        found = _object(line)
        if "certificate_id" in found:
            yield Event(
                at=times.moment(found.get("time")),
                where=DEVICE,
                what=f"certificate {str(found['certificate_id'])[:12]}… {found.get('event')}",
                facts={"event": str(found.get("event"))},
            )


def of_status(text: str) -> Iterator[Event]:
    """Yields the problems that a device's status shows, and what it is doing."""
    found = _object(text)
    problems = found.get("problems")
    for problem in problems if isinstance(problems, list) else []:
        if isinstance(problem, Mapping):
            words = {
                key: str(problem.get(key) or "") for key in ("code", "title", "remedy", "severity")
            }
            yield Event(
                at=times.moment(problem.get("since")),
                where=DEVICE,
                what=f"{words['code']}: {words['title']}"[:_LONGEST],
                facts=words,
            )
    if doing := found.get("doing"):
        yield Event(
            at=times.moment(found.get("updated")),
            where=DEVICE,
            what=f"is doing: {doing}"[:_LONGEST],
        )


def of_journal(text: str) -> Iterator[Event]:
    """Yields the lines of a device's journal, as ``journalctl -o short-iso`` writes them."""
    for line in text.splitlines():
        stamp, _, rest = line.partition(" ")
        at = times.moment(stamp)
        if at is not None and ": " in rest:
            yield Event(at=at, where=DEVICE, what=rest.partition(": ")[2][:_LONGEST])


def cause(subject: Subject, events: Sequence[Event]) -> Cause:
    """Returns what is probably behind it: the first of the rules that fits."""
    ordered = in_order(events)
    for rule in _RULES:
        if (found := rule(subject, ordered)) is not None:
            return found
    name = subject.name
    return Cause(
        "unknown",
        "nothing here tells why",
        f"on the device type: fleet-agent doctor --bundle FILE   and here: fleet-cloud explain {name} --bundle FILE",
    )


Rule = Callable[[Subject, Sequence[Event]], Cause | None]


def _is_well(subject: Subject, events: Sequence[Event]) -> Cause | None:
    since = subject.presence.since
    if not subject.presence.is_connected or any(_is_error(event) for event in events):
        return None
    later = [event for event in events if event.facts.get("status") == _FAILURE and event.at]
    if since and any(event.at and event.at > since for event in later):
        return None
    return Cause("well", "it is connected, and nothing has failed since", "nothing to do")


def _is_hooked(subject: Subject, events: Sequence[Event]) -> Cause | None:
    decisions = [event for event in events if event.where == HOOK]
    if not decisions or decisions[-1].facts["allowed"] == "True":
        return None
    return Cause(
        "hook-refuses",
        f"the fleet's hook refuses to register it: {decisions[-1].facts['why']}",
        f"if it belongs there: {registrations.let_in(subject.name)}; if not, its claim is in wrong hands: "
        "fleet-cloud claim revoke",
    )


def _is_unknown(subject: Subject, events: Sequence[Event]) -> Cause | None:
    if subject.is_thing or any(event.where == AWS for event in events):
        return None
    return Cause(
        "never-registered",
        "AWS IoT knows no thing of that name and has no line of such a client: it never came this far",
        "on the device type: fleet-agent doctor   (network, clock, claim); look at fleet-cloud devices waiting",
    )


def _is_inactive(subject: Subject, _: Sequence[Event]) -> Cause | None:
    if not subject.is_thing or "ACTIVE" in subject.certificates.values():
        return None
    if not subject.certificates:
        return Cause(
            "no-certificate",
            "the thing has no certificate: it was retired, or was never provisioned",
            "it registers again by its claim with the key that it has; with another: "
            f"{registrations.let_in(subject.name)}",
        )
    identifier, status = next(iter(subject.certificates.items()))
    return Cause(
        "certificate-inactive",
        f"none of its certificates is active; {identifier[:12]}… is {status}",
        f"aws iot update-certificate --certificate-id {identifier} --new-status ACTIVE   switches it on again. By "
        f"its claim it gets another one with the key that it has; with another: {registrations.let_in(subject.name)}",
    )


def _is_denied(subject: Subject, events: Sequence[Event]) -> Cause | None:
    denied = [event for event in events if "AUTHORIZATION_FAILURE" in event.what]
    if not denied or subject.presence.is_connected:
        return None
    last = denied[-1].facts
    where = f" on {last['topicName']}" if "topicName" in last else ""
    return Cause(
        "not-authorized",
        f"its policy does not allow {last.get('eventType', 'this')}{where}",
        "type: fleet-cloud status   to see what differs, and fleet-cloud up to put it right (rights: up --help)",
    )


def _is_taken_over(subject: Subject, events: Sequence[Event]) -> Cause | None:
    lines = [event for event in events if "DUPLICATE_CLIENT" in event.what.upper()]
    if not lines and "DUPLICATE" not in str(subject.presence.reason):
        return None
    return Cause(
        "duplicate-client",
        "another connection came under the same client id: a copied storage, or a program with its name",
        "find the other by its address in the log of AWS IoT; on a copy type: fleet-agent reset; and if "
        f"the copy is to be this device: {registrations.let_in(subject.name)}",
    )


def _is_lost(subject: Subject, _: Sequence[Event]) -> Cause | None:
    reason = str(subject.presence.reason)
    if subject.presence.is_connected is not False:
        return None
    if reason in {"MQTT_KEEP_ALIVE_TIMEOUT", "CONNECTION_LOST"}:
        return Cause(
            "connection-lost",
            f"its connection broke off ({reason}) and it has not come back: no power, or no network",
            "look at power and network there; on the device type: fleet-agent doctor",
        )
    if reason == "CLIENT_INITIATED_DISCONNECT":
        return Cause(
            "left",
            "it said goodbye: it was switched off or stopped",
            "on the device type: systemctl status fleet-agent",
        )
    return None


def _is_reported(_: Subject, events: Sequence[Event]) -> Cause | None:
    problems = [event for event in events if _is_error(event)]
    if not problems:
        return None
    worst = problems[-1].facts
    return Cause(worst["code"], f"the device says: {worst['title']}", worst["remedy"])


def _is_error(event: Event) -> bool:
    return event.where == DEVICE and event.facts.get("severity") == "error"


_RULES: Sequence[Rule] = (
    _is_well,
    _is_hooked,
    _is_unknown,
    _is_inactive,
    _is_taken_over,
    _is_denied,
    _is_reported,
    _is_lost,
)


def _object(text: object) -> Mapping[str, object]:
    try:
        found = parsed(str(text))
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _milliseconds(value: object) -> dt.datetime | None:
    return times.moment(value / 1000) if isinstance(value, int | float) else None


def as_json(event: Event) -> dict[str, object]:
    """Returns an event for programs."""
    return {
        "at": event.at.isoformat() if event.at else None,
        "where": event.where,
        "what": event.what,
    }


def pattern(client_id: str) -> str:
    """Returns the filter for the lines of one client in the log of AWS IoT."""
    return f"{{ $.clientId = {json.dumps(client_id)} }}"
