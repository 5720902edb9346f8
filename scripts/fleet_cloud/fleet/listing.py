"""The fleet's things at any size, in pages: of fleet indexing where the account has it, else of the registry.

A thing is known by its name and its own attribute serialNumber alone: its certificate takes a query for each thing.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

from fleet_cloud.aws import causes, times
from fleet_cloud.aws.calls import Answer, Aws, entries, text
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.errors import CommandError
from fleet_cloud.fleet import inventory

INDEX = "AWS_Things"
REGISTRY = "the registry"
_NOT_READY = {"IndexNotReadyException"}
_PAGE = 100  # documents that AWS gives at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """A thing; ``connected`` is None where it is unknown."""

    name: str
    attributes: Mapping[str, object]
    connected: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """The fleet's things by name, and where the list comes from.

    Args:
        things: These.
        source: The registry, or the index.
        newest: Of the index: the last connection or disconnection that it knows. AWS does not say how old it is.
    """

    things: Sequence[Seen]
    source: str = REGISTRY
    newest: dt.datetime | None = None

    @property
    def connected(self) -> int | None:
        """How many are connected; None where it is unknown."""
        known = [thing.connected for thing in self.things if thing.connected is not None]
        return sum(known) if known else None

    def said(self, now: dt.datetime) -> str:
        """Returns the source of the list, for people."""
        if self.source == REGISTRY:
            return "by pages of the registry"
        newest = (
            f"its newest connection is {times.age(self.newest, now)} old" if self.newest else ""
        )
        return f"by fleet indexing, {newest or 'whose age AWS does not say'}"

    def data(self) -> dict[str, object]:
        """Returns the source of the list, for programs."""
        return {
            "source": self.source,
            "index_newest": times.text(self.newest) if self.newest else None,
        }


def gather(aws: Aws, names: FleetNames) -> Listing:
    """Asks for the fleet's things."""
    found = _of_index(aws, names) or _of_registry(aws)
    mine = [
        thing for thing in found.things if inventory.is_named(names, thing.name, thing.attributes)
    ]
    return dataclasses.replace(found, things=sorted(mine, key=lambda thing: thing.name))


def _of_registry(aws: Aws) -> Listing:
    listed = aws.ask(aws.command("iot", "list-things"))
    return Listing(
        things=[
            Seen(name=text(entry, "thingName"), attributes=inventory.attributes(entry))
            for entry in entries(listed, "things")
        ]
    )


def _of_index(aws: Aws, names: FleetNames) -> Listing | None:
    """Asks the index; nothing when there is none, when it is being built, or for who may not."""
    query = ("--index-name", INDEX, "--query-string", f"thingName:{names.thing_prefix}*")
    size = ("--max-results", str(_PAGE))
    found: list[Mapping[str, object]] = []
    further: tuple[str, ...] | None = ()
    while further is not None:
        try:
            page = aws.ask(aws.command("iot", "search-index", *query, *size, *further))
        except CommandError as error:
            if error.code in causes.ABSENT_CODES | causes.DENIED_CODES | _NOT_READY:
                return None
            raise
        found += entries(page, "things")
        token = page.get("nextToken")
        further = ("--next-token", token) if isinstance(token, str) else None
    moments = [moment for entry in found if (moment := _connection(entry)[1])]
    return Listing(
        things=[
            Seen(
                name=text(entry, "thingName"),
                attributes=inventory.attributes(entry),
                connected=_connection(entry)[0],
            )
            for entry in found
        ],
        source=INDEX,
        newest=max(moments, default=None),
    )


def _connection(entry: Answer) -> tuple[bool | None, dt.datetime | None]:
    """Returns whether a thing is connected, and since when it is so: in milliseconds, and 0 where it never was."""
    found = entry.get("connectivity")
    if not isinstance(found, Mapping):
        return None, None
    connected, at = found.get("connected"), found.get("timestamp")
    since = times.moment(at / 1000) if isinstance(at, int | float) and at > 0 else None
    return (connected if isinstance(connected, bool) else None), since
