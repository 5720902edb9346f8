"""What happened to a device, in order of time, from several logs. Pure.

Every text in it is somebody else's: the device's, AWS's, the hook's. It is shown escaped, by the console.
"""

import dataclasses
import datetime as dt
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, entries
from fleet_cloud.fleet.presence import Presence
from fleet_cloud.local.json_text import parsed

DEVICE, AWS, HOOK = "device", "AWS", "hook"
_LONGEST = 200  # characters of a line
_LONGEST_TOPIC = 80  # of them, so that a reason behind it is seen
# Certificates by which lines without a client are found: a filter may have 1024 characters.
_MOST_CERTIFICATES = 4
_NO_CLIENT = (None, "", "-", "N/A")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened.

    Args:
        at: When; None where the source does not say.
        where: ``device``, ``AWS`` or ``hook``.
        words: In words.
        facts: What :mod:`~fleet_cloud.fleet.diagnosis` goes by.
    """

    at: dt.datetime | None
    where: str
    words: str
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)


def in_order(events: Sequence[Event]) -> list[Event]:
    """Returns events in the order in which they happened; those without a time come first."""
    start = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(events, key=lambda event: event.at or start)


def merged(events: Sequence[Event]) -> list[Event]:
    """Returns events in their order, those that follow each other and say the same as one, at the time of the last."""
    found = []
    for (_, words), same in itertools.groupby(
        events, key=lambda event: (event.where, event.words)
    ):
        *others, last = same
        found.append(
            dataclasses.replace(last, words=f"{words} ({len(others) + 1} times)")
            if others
            else last
        )
    return found


def of_log(
    answer: Answer | None, client_id: str, certificates: Collection[str] = ()
) -> Iterator[Event]:
    """Yields what AWS IoT's own log says of a client; what answers may have looked at the filter loosely.

    Lines about the issue of a certificate, and about one that is refused, may have no client: those are taken that name
    one of its certificates.
    """
    for entry in entries(answer, "events"):
        line = _object(entry.get("message"))
        named = (str(line.get("deviceCertificateId")), str(line.get("principalId")))
        is_its = not _client(line) and any(each in certificates for each in named)
        if _client(line) != client_id and not is_its:
            continue
        facts = {key: str(value) for key, value in line.items() if isinstance(value, str | int)}
        words = [
            facts[key] if key != "topicName" else facts[key][:_LONGEST_TOPIC]
            for key in ("eventType", "topicName", "ruleName", "status", "reason", "details")
            if key in facts
        ]
        yield Event(
            at=_milliseconds(entry.get("timestamp")),
            where=AWS,
            words=" ".join(words)[:_LONGEST],
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
            words=f"{'lets it register' if is_in else 'refuses it'}: {why}"[:_LONGEST],
            facts={"allowed": str(is_in), "why": why},
        )


def of_certificates(found: Mapping[str, Mapping[str, object]]) -> Iterator[Event]:
    """Yields when its certificates were made and changed, by their ids."""
    for identifier, facts in found.items():
        at = times.moment(facts.get("creationDate"))
        yield Event(at=at, where=AWS, words=f"certificate {identifier[:12]}… is issued")
        changed, status = times.moment(facts.get("lastModifiedDate")), str(facts.get("status"))
        if changed and at and (changed - at).total_seconds() > 1 and status != "ACTIVE":
            yield Event(
                at=changed,
                where=AWS,
                words=f"certificate {identifier[:12]}… is changed; it is {status} now",
            )


def of_presence(presence: Presence) -> Iterator[Event]:
    """Yields when the client connected or disconnected."""
    if presence.is_connected is None or presence.since is None:
        return
    words = (
        "connects, and is connected now"
        if presence.is_connected
        else f"disconnected: {presence.reason or 'reason unknown'}"
    )
    yield Event(at=presence.since, where=AWS, words=words)


def of_ledger(text: str) -> Iterator[Event]:
    """Yields what a device's ledger says of each certificate."""
    for line in text.splitlines():
        found = _object(line)
        if "certificate_id" in found:
            yield Event(
                at=times.moment(found.get("time")),
                where=DEVICE,
                words=f"certificate {str(found['certificate_id'])[:12]}… {found.get('event')}",
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
                words=f"{words['code']}: {words['title']}"[:_LONGEST],
                facts=words,
            )
    if doing := found.get("doing"):
        yield Event(
            at=times.moment(found.get("updated")),
            where=DEVICE,
            words=f"is doing: {doing}"[:_LONGEST],
        )


def of_journal(text: str) -> Iterator[Event]:
    """Yields the lines of a device's journal, as ``journalctl -o short-iso`` writes them."""
    for line in text.splitlines():
        stamp, _, rest = line.partition(" ")
        at = times.moment(stamp)
        if at is not None and ": " in rest:
            yield Event(at=at, where=DEVICE, words=rest.partition(": ")[2][:_LONGEST])


def _object(text: object) -> Mapping[str, object]:
    try:
        found = parsed(str(text))
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _client(line: Mapping[str, object]) -> object:
    """Returns the client that a line of AWS IoT's log is about; nothing where it names none."""
    found = line.get("clientId")
    return None if found in _NO_CLIENT else found


def _milliseconds(value: object) -> dt.datetime | None:
    return times.moment(value / 1000) if isinstance(value, int | float) else None


def as_json(event: Event) -> dict[str, object]:
    """Returns an event for programs."""
    return {
        "at": event.at.isoformat() if event.at else None,
        "where": event.where,
        "what": event.words,
    }


def pattern(client_id: str, certificates: Sequence[str] = ()) -> str:
    """Returns the filter for the lines of one client in the log of AWS IoT, and for those of its certificates."""
    terms = [("clientId", client_id)]
    for certificate in certificates[:_MOST_CERTIFICATES]:
        terms += [("deviceCertificateId", certificate), ("principalId", certificate)]
    asked = [f"($.{name} = {json.dumps(value)})" for name, value in terms]
    return f"{{ {' || '.join(asked)} }}"
