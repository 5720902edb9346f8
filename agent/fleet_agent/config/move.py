"""The section ``move``: where this device may be moved, named by root; an order names one of these and nothing else."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from fleet_agent.config import checks
from fleet_agent.config.names import Filter
from fleet_agent.config.provisioning import Claim
from fleet_agent.config.shape import Doc, Duration, FilePath, Keys, Range, Text
from fleet_agent.record import record


@record
class Destination:
    """Another account or region that gives this device an identity: what it takes to ask for one there."""

    endpoint: Annotated[
        str,
        Text(checks.endpoint, checks.HOST_PATTERN),
        Doc("Its data endpoint.", "endpoint: a9b8c7-ats.iot.eu-central-1.amazonaws.com"),
    ]
    claim: Annotated[
        Claim,
        Doc(
            "A claim of that account.",
            "claim: {certificate: new/claim.pem.crt, private_key: new/claim.pem.key}",
        ),
    ]
    template: Annotated[
        str,
        Text(checks.template_name, checks.TEMPLATE_PATTERN),
        Doc(
            "A provisioning template there, which must name the same thing.", "template: fleet-v2"
        ),
    ]
    port: Annotated[int, Range(1, 65535), Doc("TCP port there.", "port: 443")] = 8883
    ca_file: Annotated[
        str | None,
        FilePath(),
        Doc("CA certificates of that endpoint; the system's store when null.", "ca_file: ca.pem"),
    ] = None


@record
class Move:
    """Whether, where to and by whose order this device may be moved; nowhere by default."""

    allowed: Annotated[
        Mapping[str, Destination],
        Keys(Text(checks.part_name, length=64)),
        Doc(
            "The destinations, by the names that orders and `fleet-agent move --to` use.",
            "allowed: {frankfurt: {endpoint: a9b8-ats.iot.eu-central-1.amazonaws.com, template: fleet-v2, "
            "claim: {certificate: new.pem.crt, private_key: new.pem.key}}}",
        ),
    ] = dataclasses.field(default_factory=dict)
    within: Annotated[
        float,
        Duration(30, 3600),
        Doc(
            "The time limit for the new identity to be proven; otherwise the device stays where it was.",
            "within: 5m",
        ),
    ] = 120.0
    jobs: Annotated[
        bool, Doc("Whether the agent carries out AWS IoT Jobs that order a move.", "jobs: true")
    ] = False
    order_topic: Annotated[
        Filter | None,
        Doc(
            'A topic filter; a message under it, `{"to": NAME}`, orders a move.',
            "order_topic: 'cmd/{thing}/move'",
        ),
    ] = None
