"""What an answer without credentials means: an error with the words for who asked, for the status and for the log.

The service gives no codes, so the status decides, and its words choose between those that share one. Pure.
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
    """The error for a refusal.

    Args:
        status: HTTP's.
        words: The service's.
        alias: The role alias that was asked for.
        thing: The device's.
        host: Who answered.
        endpoint: The data endpoint, whose name has partition and region.
    """
    said = f"{status} {printable(words, 200)}".rstrip()
    known = words.lower()
    if status in (_TOO_LATE, _TOO_MANY) or status >= _SERVER:
        return TemporaryError(
            f"AWS IoT gives no credentials for the role alias {alias} for now: {said}.",
            remedy="Try again in a minute: AWS is asked again when a program asks.",
            code="credentials-throttled" if status == _TOO_MANY else "credentials-unavailable",
        )
    if status == _FORBIDDEN:
        return _forbidden(known, said, alias, thing, endpoint)
    if status == _NOT_FOUND and "role alias" not in known:
        return DeviceError(
            f"{host} is no credentials endpoint: {said}.",
            remedy="Set credentials.endpoint to what this shows: "
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
            f"AWS IoT does not know this device's certificate as the thing {thing}'s: {said}.",
            remedy=f"Attach it to that thing; this shows what is attached: {command}",
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
            f"Make it: fleet-cloud up --credentials {pasted.word(alias)}=ROLE-ARN, or: {create} --role-arn ROLE-ARN",
            "role-alias-missing",
        )
    if status == _BAD_REQUEST and "duration" in known:
        return (
            f"The credentials of the role alias {alias} shall last longer than its role allows",
            f"Compare credentialDurationSeconds ({describe}) with the role's MaxSessionDuration (aws iam get-role).",
            "role-session-too-long",
        )
    if status == _BAD_REQUEST:
        return (
            f"AWS IoT cannot assume the role of the role alias {alias}",
            f"The role must be there ({describe}), and trust the service: {_TRUST}",
            "role-not-assumed",
        )
    return (
        f"AWS IoT refuses credentials for the role alias {alias}",
        f"Look at the alias: {describe}",
        "credentials-refused",
    )
