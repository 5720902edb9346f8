"""When a device replaces its certificate and key, and with what. As in ``settings``: seconds."""

from typing import Annotated, Literal

from fleet_agent.config.names import Filter
from fleet_agent.config.shape import Doc, Duration
from fleet_agent.record import record


@record
class Rotation:
    """When the device replaces its certificate and key; the running agent looks, and so does `fleet-agent rotate`."""

    credential: Annotated[
        Literal["own", "claim"],
        Doc(
            "Which certificate requests the new one: the device's current certificate, or the claim.",
            "credential: claim",
        ),
    ] = "own"
    max_age: Annotated[
        float | None,
        Duration(3600, 3650 * 86400),
        Doc(
            "Due when the certificate was proven this long ago; never by age when null.",
            "max_age: 180d",
        ),
    ] = None
    before_expiry: Annotated[
        float | None,
        Duration(0, 3650 * 86400, share=True),
        Doc(
            "Due this long before the certificate expires, or with this share of its life left; never before half of "
            "it is over. When null: `33%` of a life below a year, else 30d.",
            "before_expiry: 33%",
        ),
    ] = None
    jobs: Annotated[
        bool,
        Doc("Whether the agent carries out AWS IoT Jobs that order a rotation.", "jobs: true"),
    ] = False
    order_topic: Annotated[
        Filter | None,
        Doc(
            "A topic filter; any message under it orders a rotation.",
            "order_topic: 'cmd/{thing}/rotate'",
        ),
    ] = None
