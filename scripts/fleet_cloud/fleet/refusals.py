"""The devices that the hook refused, from its log."""

import dataclasses
import datetime as dt
from collections.abc import Mapping

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, Aws, entries
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.local import json_text
from fleet_cloud.local.shell import Command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusal:
    """A device that was refused last.

    Args:
        thing: The thing that it would be; nothing where its serial number was not permitted.
        serial: Its serial number; empty where it named none.
        session: The certificate under which it asked.
        why: The hook's reason.
        last: When.
        times: How often since it was last admitted, within the log that was read.
    """

    thing: str | None
    serial: str
    session: str
    why: str
    last: dt.datetime | None
    times: int

    @property
    def who(self) -> str:
        """The thing, or else the serial number."""
        return self.thing or self.serial or "-"


def read(aws: Aws, names: FleetNames, since: float) -> Command:
    """Returns the command that asks for the hook's decisions since a moment."""
    return aws.command(
        "logs",
        "filter-log-events",
        *("--log-group-name", f"/aws/lambda/{names.hook}"),
        *("--filter-pattern", "allowed"),
        *("--start-time", str(int(since * 1000))),
    )


def of(answer: Answer | None) -> list[Refusal]:
    """Returns the devices that were refused and not admitted since, the last one first."""
    found: dict[tuple[str, str], Refusal] = {}
    for entry in sorted(entries(answer, "events"), key=_at):
        line = _line(entry.get("message"))
        if line is None:
            continue
        serial, session = str(line.get("serial") or ""), str(line.get("session"))
        # A device admitted under the same serial number with another claim does not settle this refusal.
        if line["allowed"] is True:
            found.pop((serial, session), None)
            continue
        before = found.pop((serial, session), None)
        thing = line.get("thing")
        found[serial, session] = Refusal(
            thing=thing if isinstance(thing, str) else None,
            serial=serial,
            session=session,
            why=str(line.get("why")),
            last=times.moment(_at(entry) / 1000),
            times=before.times + 1 if before else 1,
        )
    return [*reversed(found.values())]


def _at(entry: Mapping[str, object]) -> float:
    at = entry.get("timestamp")
    return at if isinstance(at, int | float) else 0


def _line(message: object) -> Mapping[str, object] | None:
    try:
        found = json_text.parsed(str(message))
    except ValueError:
        return None
    return found if isinstance(found, Mapping) and "allowed" in found else None
