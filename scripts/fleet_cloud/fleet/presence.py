"""What AWS IoT says of a device's connection, of what it listens to, and of the orders that it got last."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, Aws, entries, text
from fleet_cloud.errors import CommandError, FleetCloudError
from fleet_cloud.fleet.data_plane import DataPlane

_LAST = 5  # orders that are shown
_DAYS = 30
_MISSING = "ResourceNotFoundException"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Presence:
    """A device's connection.

    Args:
        is_connected: Whether it is up; nothing when AWS knows nothing of it.
        since: Since when it is so.
        reason: Why it ended.
        listens: Topic filters.
        unknown: What could not be asked, and why.
    """

    is_connected: bool | None
    since: dt.datetime | None = None
    reason: str | None = None
    listens: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The connection in one line."""
        if self.is_connected is None:
            return "unknown: not connected for at least half an hour, or never"
        since = f" since {times.text(self.since)}" if self.since else ""
        if self.is_connected:
            return f"connected{since}"
        return f"not connected{since}" + (f": {self.reason}" if self.reason else "")

    @property
    def data(self) -> dict[str, object]:
        """The connection for programs."""
        return {
            "connected": self.is_connected,
            "since": times.text(self.since) if self.since else None,
            "reason": self.reason,
            "listens": [*self.listens],
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """An order that a device got: a job or a command."""

    kind: str
    name: str
    status: str
    at: dt.datetime | None

    @property
    def words(self) -> str:
        """The order in one line."""
        return f"{self.name}  {self.status.lower().replace('_', ' ')}  {times.text(self.at)}"

    @property
    def data(self) -> dict[str, object]:
        """The order for programs."""
        at = times.text(self.at)
        return {"kind": self.kind, "name": self.name, "status": self.status, "at": at}


def of(aws: Aws, client_id: str) -> Presence:
    """Asks for a client's connection; what this CLI, or these credentials, cannot ask is said in words."""
    plane = DataPlane(aws)
    try:
        found = plane.ask(plane.call("iot-data", "get-connection", "--client-id", client_id))
    except FleetCloudError as error:
        return Presence(is_connected=None, unknown=_unknown("the connection", error))
    is_connected = found.get("connected") is True
    at = found.get("connectedSince" if is_connected else "disconnectedSince")
    reason = found.get("disconnectReason")
    try:
        listed = plane.ask(plane.call("iot-data", "list-subscriptions", "--client-id", client_id))
        unknown: tuple[str, ...] = ()
    except FleetCloudError as error:
        listed, unknown = {}, _unknown("its subscriptions", error)
    return Presence(
        is_connected=is_connected,
        since=times.moment(at / 1000) if isinstance(at, int | float) else None,
        reason=str(reason) if reason and not is_connected else None,
        listens=tuple(text(entry, "topicFilter") for entry in entries(listed, "subscriptions")),
        unknown=unknown,
    )


def orders(aws: Aws, thing: str, thing_arn: str) -> tuple[list[Order], tuple[str, ...]]:
    """Asks for the last orders of a thing, the newest first, and says what could not be asked."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=_DAYS)
    jobs = aws.command("iot", "list-job-executions-for-thing", "--thing-name", thing)
    commands = aws.command(
        "iot",
        "list-command-executions",
        *("--target-arn", thing_arn),
        *("--started-time-filter", f"after={since:%Y-%m-%dT%H:%M}"),
    )
    found: list[Order] = []
    unknown: tuple[str, ...] = ()
    for command, subject, read in ((jobs, "jobs", _jobs), (commands, "commands", _commands)):
        try:
            found += read(DataPlane(aws).ask(command))
        except FleetCloudError as error:
            unknown += _unknown(f"its {subject}", error)
    found.sort(key=lambda line: line.at or since, reverse=True)
    return found[:_LAST], unknown


def _jobs(answer: Answer) -> list[Order]:
    found = []
    for entry in entries(answer, "executionSummaries"):
        summary: Any = entry.get("jobExecutionSummary")
        facts = summary if isinstance(summary, Mapping) else {}
        at = times.moment(facts.get("lastUpdatedAt"))
        found.append(
            Order(kind="job", name=text(entry, "jobId"), status=str(facts.get("status")), at=at)
        )
    return found


def _commands(answer: Answer) -> list[Order]:
    return [
        Order(
            kind="command",
            name=str(entry.get("commandArn", "")).rpartition("/")[2],
            status=str(entry.get("status")),
            at=times.moment(entry.get("completedAt") or entry.get("createdAt")),
        )
        for entry in entries(answer, "commandExecutions")
    ]


def _unknown(subject: str, error: FleetCloudError) -> tuple[str, ...]:
    if isinstance(error, CommandError) and error.code == _MISSING:
        return ()
    cause = error.cause if isinstance(error, CommandError) and error.cause else error.title
    return (f"{subject}: {cause}; {error.remedy}",)
