"""``fleet-cloud devices show``: everything about one device."""

import argparse
from collections.abc import Mapping

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import Answer, Aws, entries, text
from fleet_cloud.aws.names import REGISTRY_NAME
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.fleet import jobs, presence, registrations
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table

NAME = ("devices", "show")
SUMMARY = "show one device: registry, certificates, connection, orders"
DESCRIPTION = """\
Shows a thing by name, of this fleet or another: attributes, type, groups, and each of its certificates with its state,
origin, dates and policies; since when it is connected, or why it disconnected, and its subscriptions (if its client id
is the thing's name); when it last rotated, and its last orders. It says what cannot be queried, because this CLI is too
old or these credentials may not.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that says which device."""
    parser.add_argument("thing", metavar="THING", help="the thing's name")


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Asks AWS about the device and shows what it says."""
    name: str = arguments.thing
    check_name(name)
    aws = context.aws()
    described, principals, groups = _asked(aws, name)
    found = principals.get("principals") if principals else None
    arns = [str(arn) for arn in found] if isinstance(found, list) else []
    given = described.get("attributes")
    attributes = dict(given) if isinstance(given, Mapping) else {}
    group_names = [text(entry, "groupName") for entry in entries(groups, "thingGroups")]
    certificates = _certificates(aws, arns, attributes)
    here = presence.of(aws, name)
    orders, unasked = presence.orders(aws, name, str(described.get("thingArn")))
    rotated = _rotated(orders, certificates)
    kind = described.get("thingTypeName")
    rows = [["thing", name], ["type", str(kind or "-")], ["groups", ", ".join(group_names) or "-"]]
    rows += [[f"attribute {key}", str(value)] for key, value in sorted(attributes.items())]
    second = registrations.second_claim(attributes)
    if second:
        rows.append(["registered again with", second])
    for row in certificates:
        rows += [[key.replace("_", " "), str(value)] for key, value in row.items()]
    rows.append(["connection", here.words])
    rows += [["listens to", topic_filter] for topic_filter in here.listens]
    rows.append(["last rotation", rotated])
    rows += [[order.kind, order.words] for order in orders]
    unknown = [*here.unknown, *unasked]
    return Outcome(
        data={
            "thing": name,
            "type": kind,
            "groups": group_names,
            "attributes": attributes,
            "second_claim": second,
            "certificates": certificates,
            "connection": here.data,
            "last_rotation": rotated,
            "orders": [order.data for order in orders],
            "unknown": unknown,
        },
        lines=[
            *table(rows),
            *([] if certificates else ["no certificate"]),
            *(f"not known: {each}" for each in unknown),
        ],
    )


def _asked(aws: Aws, name: str) -> tuple[Answer, Answer | None, Answer | None]:
    """Returns the thing, its principals, its groups.

    Raises:
        FleetCloudError: There is no such thing.
    """
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
    return described, principals, groups


def check_name(name: str) -> None:
    """Checks the name of a thing.

    Raises:
        UsageError: AWS does not accept it.
    """
    if not REGISTRY_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a thing's name",
            remedy="a name has 1 to 128 of the characters 0-9 A-Z a-z : _ -",
        )


def _rotated(orders: list[presence.Order], certificates: list[dict[str, object]]) -> str:
    """Returns when it replaced its certificate last, as far as jobs and certificates show."""
    for order in orders:
        if "-rotate-" in order.name and order.status == jobs.SUCCEEDED:
            return f"{times.text(order.at)}, by the job {order.name}"
    made = sorted(str(certificate["created"]) for certificate in certificates)
    if len(made) > 1:
        return f"perhaps {made[-1]}: its newest certificate is from then"
    return "none known"


def _certificates(
    aws: Aws, arns: list[str], attributes: Mapping[str, object]
) -> list[dict[str, object]]:
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
        _certificate(arn, answer, policies, attributes)
        for arn, answer, policies in zip(arns, described, attached, strict=True)
    ]


def _certificate(
    arn: str, answer: Answer | None, policies: Answer | None, attributes: Mapping[str, object]
) -> dict[str, object]:
    found = answer.get("certificateDescription") if answer else None
    facts = found if isinstance(found, Mapping) else {}
    validity = facts.get("validity")
    dates = validity if isinstance(validity, Mapping) else {}
    names = [text(entry, "policyName") for entry in entries(policies, "policies")]
    return {
        "certificate": arn.rpartition("/")[2],
        "status": facts.get("status"),
        "origin": _origin(arn.rpartition("/")[2], facts, attributes),
        "created": times.text(times.moment(facts.get("creationDate"))),
        "ends": times.text(times.moment(dates.get("notAfter"))),
        "policies": ", ".join(names) or "-",
    }


def _origin(identifier: str, facts: Mapping[str, object], attributes: Mapping[str, object]) -> str:
    """Returns where a certificate comes from, as far as AWS and the hook remember."""
    if facts.get("certificateMode") == "SNI_ONLY":
        made = "registered, of a CA that AWS IoT does not know"
    elif ca := facts.get("caCertificateId"):
        made = f"of the CA {ca}"
    else:
        made = "made by AWS IoT"
    known = registrations.of(attributes)
    if known.second and identifier == known.second:
        return f"{made}, when the device registered again"
    if known.is_of(identifier):
        return f"{made}, let in by the hook {times.text(times.moment(known.at))}"
    return made
