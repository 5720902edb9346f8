"""Refusals of AWS IoT's credentials endpoint as errors, worded for the program that asked, the status and the log.

The service returns no error codes, so the HTTP status decides, and the message between causes that share one. Pure.
"""

import json

from fleet_agent import pasted
from fleet_agent.errors import (
    AgentError,
    DeviceError,
    NotAllowedError,
    RefusedError,
    TemporaryError,
)
from fleet_agent.printable import printable

SERVICE = "credentials.iot.amazonaws.com"

_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND = 400, 403, 404
_TOO_LATE, _TOO_MANY, _SERVER = 408, 429, 500
_TRUST = json.dumps(
    {"Effect": "Allow", "Principal": {"Service": SERVICE}, "Action": "sts:AssumeRole"}
)


def error(
    status: int, words: str, alias: str, *, thing: str | None, host: str, endpoint: str
) -> AgentError:
    """Returns the error for a refusal.

    Args:
        status: HTTP status.
        words: The service's message.
        alias: The requested role alias.
        thing: The device's thing name.
        host: The credentials endpoint.
        endpoint: The data endpoint, whose name has partition and region.
    """
    said = f"{status} {printable(words, 200)}".rstrip()
    known = words.lower()
    if status in (_TOO_LATE, _TOO_MANY) or status >= _SERVER:
        return TemporaryError(
            f"For now, AWS IoT gives no credentials for the role alias {alias}: {said}.",
            remedy="Try again in a minute: the agent asks AWS again when a program does.",
            code="credentials-throttled" if status == _TOO_MANY else "credentials-unavailable",
        )
    if status == _FORBIDDEN:
        return _forbidden(known, said, alias, thing, endpoint)
    if status == _NOT_FOUND and "role alias" not in known:
        return DeviceError(
            f"{host} is not a credentials endpoint: {said}.",
            remedy="Set credentials.endpoint to the output of: "
            "aws iot describe-endpoint --endpoint-type iot:CredentialProvider",
            code="credentials-endpoint",
        )
    title, remedy, code = _of_alias(status, known, alias)
    return RefusedError(f"{title}: {said}.", remedy=remedy, code=code)


def _forbidden(known: str, said: str, alias: str, thing: str | None, endpoint: str) -> AgentError:
    if "certificate" in known:
        return RefusedError(
            f"AWS IoT does not accept this device's certificate for credentials: {said}.",
            remedy="Is it ACTIVE and of this account and region? aws iot describe-certificate --certificate-id ID",
            code="certificate-refused",
        )
    if "thing name" in known and thing:
        command = pasted.command("aws", "iot", "list-thing-principals", "--thing-name", thing)
        return RefusedError(
            f"This device's certificate is not attached to the thing {thing}: {said}.",
            remedy=f"Attach it; to see what is attached: {command}",
            code="certificate-not-attached",
        )
    return NotAllowedError(
        "thing", "iot:AssumeRoleWithCertificate", f"rolealias/{alias}", endpoint=endpoint
    )


def _of_alias(status: int, known: str, alias: str) -> tuple[str, str, str]:
    describe = pasted.command("aws", "iot", "describe-role-alias", "--role-alias", alias)
    if status == _NOT_FOUND:
        create = pasted.command("aws", "iot", "create-role-alias", "--role-alias", alias)
        return (
            f"There is no role alias {alias} in this account and region",
            f"Create it: fleet-cloud up --credentials {pasted.word(alias)}=ROLE-ARN, or: {create} --role-arn ROLE-ARN",
            "role-alias-missing",
        )
    if status == _BAD_REQUEST and "duration" in known:
        return (
            f"The role alias {alias} requests longer sessions than its role allows",
            f"Compare credentialDurationSeconds ({describe}) with the role's MaxSessionDuration (aws iam get-role).",
            "role-session-too-long",
        )
    if status == _BAD_REQUEST:
        return (
            f"AWS IoT cannot assume the role of the role alias {alias}",
            f"The role must exist ({describe}) and trust the service: {_TRUST}",
            "role-not-assumed",
        )
    return (
        f"AWS IoT refuses credentials for the role alias {alias}",
        f"Check the alias: {describe}",
        "credentials-refused",
    )
