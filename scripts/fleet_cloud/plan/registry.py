"""Thing type, thing group and billing group: where in the registry a fleet's things go."""

from collections.abc import Mapping

from fleet_cloud.aws.calls import Answer, Aws
from fleet_cloud.aws.names import REGISTRY_NAME, FleetNames
from fleet_cloud.errors import UsageError
from fleet_cloud.plan import resources
from fleet_cloud.plan.documents import Registry
from fleet_cloud.plan.resources import Facts, Resource


def check(flag: str, name: str | None) -> None:
    """Checks a name that somebody gave.

    Raises:
        UsageError: AWS does not accept it.
    """
    if name is not None and not REGISTRY_NAME.fullmatch(name):
        raise UsageError(
            f"{flag} {name!r} cannot be a name in the registry",
            remedy="use 1 to 128 of the characters 0-9 A-Z a-z : _ - not beginning with a hyphen",
        )


def of_fleet(aws: Aws, names: FleetNames, wanted: Registry) -> list[Resource]:
    """Returns those that are wanted; one that already exists is used as it is, whoever made it."""
    made = []
    if wanted.thing_type:
        made.append(_thing_type(aws, names, wanted.thing_type))
    if wanted.thing_group:
        made.append(_group(aws, names, "thing-group", wanted.thing_group))
    if wanted.billing_group:
        made.append(_group(aws, names, "billing-group", wanted.billing_group))
    return made


def _thing_type(aws: Aws, names: FleetNames, name: str) -> Resource:
    named = ["--thing-type-name", name]

    def facts(answer: Answer) -> Facts:
        metadata = answer.get("thingTypeMetadata")
        is_deprecated = isinstance(metadata, Mapping) and metadata.get("deprecated") is True
        return {"deprecated": is_deprecated}

    return Resource(
        kind="thing type",
        name=name,
        read=aws.command("iot", "describe-thing-type", *named),
        facts=facts,
        wanted={"deprecated": False},
        create=aws.command("iot", "create-thing-type", *named, *resources.tags(names)),
        fixes={
            "deprecated": aws.command("iot", "deprecate-thing-type", *named, "--undo-deprecate")
        },
    )


def _group(aws: Aws, names: FleetNames, kind: str, name: str) -> Resource:
    named = [f"--{kind}-name", name]
    return Resource(
        kind=kind.replace("-", " "),
        name=name,
        read=aws.command("iot", f"describe-{kind}", *named),
        facts=lambda _: {},
        wanted={},
        create=aws.command("iot", f"create-{kind}", *named, *resources.tags(names)),
        fixes={},
    )
