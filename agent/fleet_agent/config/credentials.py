"""AWS credentials for local programs: the endpoint, the role aliases, and the users who may have them."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from fleet_agent.config import checks
from fleet_agent.config.shape import Doc, Items, Keys, Range, Text
from fleet_agent.record import record


@record
class RoleAlias:
    """A role alias of AWS IoT, and who on this device may have its credentials."""

    allow: Annotated[
        tuple[Annotated[str, Text(checks.allowed_user, r"^user:.+$", 64)], ...],
        Items(0, 50),
        Doc(
            "Users whose programs may have them, each `user:NAME` or `user:NUMBER`; `user:*` is everybody. Root and "
            "the agent's own user always may.",
            "allow: [user:collector]",
        ),
    ] = ()


@record
class Credentials:
    """AWS credentials in exchange for the device's certificate, for other programs of this device."""

    endpoint: Annotated[
        str,
        Text(checks.credentials_endpoint, checks.HOST_PATTERN),
        Doc(
            "The account's credentials endpoint, without a scheme or port: `aws iot describe-endpoint "
            "--endpoint-type iot:CredentialProvider` shows it.",
            "endpoint: a1b2c3.credentials.iot.eu-west-1.amazonaws.com",
        ),
    ]
    port: Annotated[
        int, Range(1, 65535), Doc("TCP port of that endpoint; AWS has 443.", "port: 443")
    ] = 443
    aliases: Annotated[
        Mapping[str, RoleAlias],
        Keys(Text(checks.role_alias, length=128)),
        Doc(
            "The role aliases that programs may use, by name.",
            "aliases: {logs: {allow: [user:collector]}}",
        ),
    ] = dataclasses.field(default_factory=dict)
    group: Annotated[
        str | None,
        Text(checks.user, r"^(\*|[0-9]+|[A-Za-z_][0-9A-Za-z_.-]*\$?)$"),
        Doc(
            "The group that may open `credentials.sock`, of which the agent must be a member; when null, every "
            "user may open it, and only `allow` decides.",
            "group: collectors",
        ),
    ] = None
    http_port: Annotated[
        int | None,
        Range(1, 65535),
        Doc(
            "A TCP port on 127.0.0.1 where programs get credentials over HTTP "
            "(`AWS_CONTAINER_CREDENTIALS_FULL_URI`); off when null.",
            "http_port: 9070",
        ),
    ] = None
