"""The likely cause of what a device's timeline shows, and what to type. Pure."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence

from fleet_cloud.fleet import registrations
from fleet_cloud.fleet.presence import Presence
from fleet_cloud.fleet.timeline import AWS, DEVICE, HOOK, Event, in_order

_FAILURE = "Failure"
# This many takeovers in so short a time mean two clients with one identity.
_TAKEOVERS = 3
_TOGETHER = dt.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """The thing, or client, to diagnose, as the registry has it.

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
    """The likely cause, and what to type."""

    code: str
    words: str
    remedy: str


def cause(subject: Subject, events: Sequence[Event]) -> Cause:
    """Returns the likely cause: the first of the rules that fits."""
    ordered = in_order(events)
    for rule in _RULES:
        if (found := rule(subject, ordered)) is not None:
            return found
    name = subject.name
    return Cause(
        "unknown",
        "nothing here shows why",
        f"on the device type: fleet-agent doctor --bundle FILE   and here: fleet-cloud explain {name} --bundle FILE",
    )


Rule = Callable[[Subject, Sequence[Event]], Cause | None]


# For a device with which nothing is wrong.
WELL = "well"


def _is_well(subject: Subject, events: Sequence[Event]) -> Cause | None:
    if not subject.presence.is_connected or any(_is_error(event) for event in events):
        return None
    if any(_is_failure(event) for event in _current(subject, events)):
        return None
    return Cause(WELL, "it is connected, and nothing has failed since", "nothing to do")


def _is_hooked(subject: Subject, events: Sequence[Event]) -> Cause | None:
    decisions = [event for event in _current(subject, events) if event.where == HOOK]
    if not decisions or decisions[-1].facts["allowed"] == "True":
        return None
    return Cause(
        "hook-refuses",
        f"the fleet's hook refuses to register it: {decisions[-1].facts['why']}",
        f"if it belongs to the fleet: {registrations.let_in(subject.name)}; if not, its claim was stolen: "
        "fleet-cloud claim revoke",
    )


def _is_unknown(subject: Subject, events: Sequence[Event]) -> Cause | None:
    if subject.is_thing or any(event.where == AWS for event in events):
        return None
    return Cause(
        "never-registered",
        "AWS IoT has no thing and no log line of that name: the device never got this far",
        "on the device type: fleet-agent doctor   (network, clock, claim); see fleet-cloud devices waiting",
    )


def _is_inactive(subject: Subject, _: Sequence[Event]) -> Cause | None:
    if not subject.is_thing or "ACTIVE" in subject.certificates.values():
        return None
    if not subject.certificates:
        return Cause(
            "no-certificate",
            "the thing has no certificate: it was retired, or was never provisioned",
            "it can register again by its claim, with the key that it has; with another key: "
            f"{registrations.let_in(subject.name)}",
        )
    identifier, status = next(iter(subject.certificates.items()))
    return Cause(
        "certificate-inactive",
        f"none of its certificates is active; {identifier[:12]}… is {status}",
        f"aws iot update-certificate --certificate-id {identifier} --new-status ACTIVE   activates it again. By "
        f"its claim it gets a new one for the key that it has; for another key: {registrations.let_in(subject.name)}",
    )


def _is_not_authenticated(subject: Subject, events: Sequence[Event]) -> Cause | None:
    """Judges by the last refusal of a certificate; AWS IoT logs them where that is switched on."""
    refused = [
        event.facts.get("reason", "no reason is given")
        for event in _current(subject, events)
        if event.facts.get("eventType") == "Connection.AuthNError"
    ]
    if not refused:
        return None
    words, remedy = _AUTHENTICATION.get(refused[-1], ("its connection is refused", _LOOK))
    return Cause("not-authenticated", f"{words} ({refused[-1]})", remedy)


_LOOK = "on the device type: fleet-agent doctor"
_SWITCH_ON = (
    "aws iot update-certificate --certificate-id ID --new-status ACTIVE   activates it again; "
    "fleet-agent status shows ID on the device"
)
_ENDPOINT = "aws iot describe-endpoint --endpoint-type iot:Data-ATS"
_AUTHENTICATION = {
    "DEVICE_CERTIFICATE_INACTIVE": ("the certificate that it uses is inactive", _SWITCH_ON),
    "DEVICE_CERTIFICATE_REVOKED": ("the certificate that it uses is revoked", _SWITCH_ON),
    "DEVICE_CERTIFICATE_NOT_REGISTERED": (
        "its certificate is unknown in this account and region: it was deleted, or is from elsewhere",
        f"compare the device's certificate with this account: fleet-agent status there, and {_ENDPOINT}",
    ),
    "SNI_MISUSED": (
        "it connects to an endpoint that is not this account's",
        f"compare the device's endpoint with: {_ENDPOINT}",
    ),
}


def _is_denied(subject: Subject, events: Sequence[Event]) -> Cause | None:
    denied = [
        event
        for event in _current(subject, events)
        if event.facts.get("reason") == "AUTHORIZATION_FAILURE"
    ]
    if not denied:
        return None
    last = denied[-1].facts
    where = f" on {last['topicName']}" if "topicName" in last else ""
    return Cause(
        "not-authorized",
        f"its policy does not allow {last.get('eventType', 'this')}{where}",
        "type: fleet-cloud status   to see what differs, and fleet-cloud up to correct it (rights: up --help)",
    )


def _is_contested(subject: Subject, events: Sequence[Event]) -> Cause | None:
    # A device that reconnects after a cut takes over its own session, once.
    last = [at for at in _takeovers(events) if at][-_TAKEOVERS:]
    is_often = len(last) == _TAKEOVERS and last[-1] - last[0] <= _TOGETHER
    return _duplicate(subject) if subject.presence.is_connected and is_often else None


def _is_taken_over(subject: Subject, events: Sequence[Event]) -> Cause | None:
    if subject.presence.is_connected:
        return None
    is_so = _takeovers(events) or "DUPLICATE" in str(subject.presence.reason)
    return _duplicate(subject) if is_so else None


def _takeovers(events: Sequence[Event]) -> list[dt.datetime | None]:
    return [
        event.at
        for event in events
        if event.where == AWS and "DUPLICATE_CLIENT" in event.facts.get("reason", "").upper()
    ]


def _duplicate(subject: Subject) -> Cause:
    return Cause(
        "duplicate-client",
        "another client connected with the same client id: copied storage, or a program that uses its name",
        "find the other client by its address in the log of AWS IoT; on a copy type: fleet-agent reset; and if "
        f"the copy should be this device: {registrations.let_in(subject.name)}",
    )


def _is_lost(subject: Subject, _: Sequence[Event]) -> Cause | None:
    reason = str(subject.presence.reason)
    if subject.presence.is_connected is not False:
        return None
    if reason in {"MQTT_KEEP_ALIVE_TIMEOUT", "CONNECTION_LOST"}:
        return Cause(
            "connection-lost",
            f"its connection was lost ({reason}) and it has not reconnected: no power, or no network",
            "check power and network there; on the device type: fleet-agent doctor",
        )
    if reason == "CLIENT_INITIATED_DISCONNECT":
        return Cause(
            "left",
            "it disconnected properly: it was switched off or stopped",
            "on the device type: systemctl status fleet-agent",
        )
    return None


def _is_reported(_: Subject, events: Sequence[Event]) -> Cause | None:
    problems = [event for event in events if _is_error(event)]
    if not problems:
        return None
    worst = problems[-1].facts
    return Cause(worst["code"], f"the device reports: {worst['title']}", worst["remedy"])


def _is_failing(subject: Subject, events: Sequence[Event]) -> Cause | None:
    failures = [event for event in _current(subject, events) if _is_failure(event)]
    if not failures:
        return None
    return Cause(
        "failure",
        f"AWS IoT logs a failure: {failures[-1].words}",
        "the log of AWS IoT has the whole line; on the device type: fleet-agent doctor",
    )


def _current(subject: Subject, events: Sequence[Event]) -> list[Event]:
    """Returns what may still matter: of a device that is connected, what came after that."""
    since = subject.presence.since if subject.presence.is_connected else None
    return [event for event in events if since is None or (event.at and event.at > since)]


def _is_failure(event: Event) -> bool:
    return event.where == AWS and event.facts.get("status") == _FAILURE


def _is_error(event: Event) -> bool:
    return event.where == DEVICE and event.facts.get("severity") == "error"


_RULES: Sequence[Rule] = (
    _is_contested,
    _is_well,
    _is_hooked,
    _is_unknown,
    _is_inactive,
    _is_taken_over,
    _is_not_authenticated,
    _is_denied,
    _is_reported,
    _is_lost,
    _is_failing,
)
