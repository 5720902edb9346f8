"""The hook's settings: how the template names its things, and which devices may register. Pure."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.plan.documents import Document
from fleet_cloud.plan.hook import naming
from fleet_cloud.plan.hook.registration import PARAMETER
from fleet_cloud.plan.serials import Rules

SERIAL_PARAMETER = "SerialNumber"

# With these, AWS IoT registers a thing that already exists, as does every thing that the hook has admitted.
_KEEPING = ("MERGE", "DO_NOTHING")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The hook's settings.

    Args:
        template: What it knows of the template.
        pattern: The pattern of serial numbers that may register; nothing for none.
        listed: What the list that it has is recognised by; empty for none.
        only: Only things that are in the registry may register.
    """

    template: Document
    pattern: str | None = None
    listed: str = ""
    only: bool = False

    def document(self) -> Document:
        """Returns it as the function reads it."""
        own = {"pattern": self.pattern, "listed": self.listed, "only": self.only}
        return {**self.template, **own}


def of_fleet(body: object, rules: Rules | None, found: object) -> Settings:
    """Returns the hook's settings.

    Args:
        body: The template's.
        rules: Which serial numbers may register; nothing for those that may already.
        found: Its present settings; nothing where there is no hook.

    Raises:
        FleetCloudError: The template names its things in a way that the hook cannot follow.
    """
    known = found if isinstance(found, Mapping) else {}
    kept = known.get("pattern")
    pattern = kept if isinstance(kept, str) else None
    listed = str(known.get("listed") or "")
    if rules:
        pattern = rules.pattern
        listed = digest(rules.allow) if rules.allow else ""
    return Settings(
        template=of_template(body),
        pattern=pattern,
        listed=listed,
        only=known.get("only") is True,
    )


def digest(serials: tuple[str, ...]) -> str:
    """Returns what a list is recognised by."""
    return hashlib.sha256(json.dumps(serials).encode()).hexdigest()


def of_template(body: object) -> Document:
    """Returns what the hook has to know of a template.

    Raises:
        FleetCloudError: It makes no thing, or names it in a way that the hook cannot follow.
    """
    parameters = _mapping(_mapping(body).get("Parameters"))
    thing = next(
        (
            _mapping(resource)
            for resource in _mapping(_mapping(body).get("Resources")).values()
            if _mapping(resource).get("Type") == "AWS::IoT::Thing"
        ),
        {},
    )
    properties = _mapping(thing.get("Properties"))
    attributes = _mapping(properties.get("AttributePayload"))
    groups = properties.get("ThingGroups")
    where = {
        "thingTypeName": properties.get("ThingTypeName"),
        "billingGroupName": properties.get("BillingGroup"),
    }
    settings = {
        "parameter": SERIAL_PARAMETER,
        "thing": properties.get("ThingName"),
        "attributes": {
            name: value for name, value in attributes.items() if value != {"Ref": PARAMETER}
        },
        "where": {name: value for name, value in where.items() if value},
        "groups": groups if isinstance(groups, list) else [],
        "defaults": {
            name: declared["Default"]
            for name, declared in parameters.items()
            if isinstance(declared, Mapping) and "Default" in declared
        },
        "remembers": PARAMETER in parameters,
    }
    if reason := _fault(settings, thing if attributes else {}):
        raise FleetCloudError(
            f"the hook cannot protect the template's things from being taken over: {reason}",
            remedy="change the template, or run fleet-cloud up with --no-hook: then whoever has a claim can "
            "register any thing again, and become it",
            code="hook-cannot-follow",
        )
    return settings


def _fault(settings: Mapping[str, object], thing: Mapping[str, object]) -> str | None:
    if not settings["thing"]:
        return "it sets no ThingName"
    if functions := naming.unknown([*settings.values()]):
        return f"it does not know {', '.join(sorted(functions))}"
    override = _mapping(thing.get("OverrideSettings")).get("AttributePayload")
    if thing and override not in _KEEPING:
        return f"OverrideSettings of AttributePayload must be {' or '.join(_KEEPING)}"
    return None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
