"""``fleet-cloud devices show``: everything about one device."""

import argparse
from collections.abc import Mapping

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, Aws, entries, text
from fleet_cloud.aws.names import REGISTRY_NAME
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.fleet import registrations
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table

NAME = ("devices", "show")
SUMMARY = "show one device: attributes, type, groups, certificates, policies"
DESCRIPTION = """\
Shows a thing by its name, of this fleet or another: attributes, type, groups, and each of its certificates with its
state, its dates and its policies.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds which."""
    parser.add_argument("thing", metavar="THING", help="the thing's name")


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Asks and shows."""
    name: str = arguments.thing
    check_name(name)
    aws = context.aws()
    described, principals, groups = aws.ask_all(
        [
            aws.command("iot", "describe-thing", "--thing-name", name),
            aws.command("iot", "list-thing-principals", "--thing-name", name),
            aws.command("iot", "list-thing-groups-for-thing", "--thing-name", name),
        ]
    )
    if described is None:
        raise FleetCloudError(
            f"there is no thing {name} in {aws.region}",
            remedy="type: fleet-cloud devices list   to see them; check --region",
            code="thing-missing",
        )
    found = principals.get("principals") if principals else None
    arns = [str(arn) for arn in found] if isinstance(found, list) else []
    given = described.get("attributes")
    attributes = dict(given) if isinstance(given, Mapping) else {}
    group_names = [text(entry, "groupName") for entry in entries(groups, "thingGroups")]
    certificates = _certificates(aws, arns)
    kind = described.get("thingTypeName")
    rows = [["thing", name], ["type", str(kind or "-")], ["groups", ", ".join(group_names) or "-"]]
    rows += [[f"attribute {key}", str(value)] for key, value in sorted(attributes.items())]
    second = registrations.second_claim(attributes)
    if second:
        rows.append(["by a second claim", second])
    for row in certificates:
        rows += [[key.replace("_", " "), str(value)] for key, value in row.items()]
    return Outcome(
        data={
            "thing": name,
            "type": kind,
            "groups": group_names,
            "attributes": attributes,
            "second_claim": second,
            "certificates": certificates,
        },
        lines=[*table(rows), *([] if certificates else ["no certificate"])],
    )


def check_name(name: str) -> None:
    """Checks the name of a thing.

    Raises:
        UsageError: AWS does not take it.
    """
    if not REGISTRY_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a thing's name",
            remedy="a name has 1 to 128 of the characters 0-9 A-Z a-z : _ -",
        )


def _certificates(aws: Aws, arns: list[str]) -> list[dict[str, object]]:
    described = aws.ask_all(
        [
            aws.command("iot", "describe-certificate", "--certificate-id", arn.rpartition("/")[2])
            for arn in arns
        ]
    )
    attached = aws.ask_all(
        [aws.command("iot", "list-attached-policies", "--target", arn) for arn in arns]
    )
    return [
        _certificate(arn, answer, policies)
        for arn, answer, policies in zip(arns, described, attached, strict=True)
    ]


def _certificate(arn: str, answer: Answer | None, policies: Answer | None) -> dict[str, object]:
    found = answer.get("certificateDescription") if answer else None
    facts = found if isinstance(found, Mapping) else {}
    validity = facts.get("validity")
    dates = validity if isinstance(validity, Mapping) else {}
    names = [text(entry, "policyName") for entry in entries(policies, "policies")]
    return {
        "certificate": arn.rpartition("/")[2],
        "status": facts.get("status"),
        "created": times.text(times.moment(facts.get("creationDate"))),
        "ends": times.text(times.moment(dates.get("notAfter"))),
        "policies": ", ".join(names) or "-",
    }
