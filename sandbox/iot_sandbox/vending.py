"""What a certificate may get AWS credentials for: the credentials provider's decisions, and a role's session.

The order of the checks, and the words, are those that others have seen of the service.
"""

import dataclasses
import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

from iot_sandbox import ground
from iot_sandbox.role_aliases import RoleAliases

SERVICE = "credentials.iot.amazonaws.com"
_ACTION = "iot:AssumeRoleWithCertificate"
_VARIABLES = "CredentialsIotVariables"
_VARIABLE = re.compile(r"\$\{(credentials-iot:[A-Za-z]+)\}")


class Refused(Exception):  # noqa: N818  an answer, not an error of ours
    """What is answered instead of credentials."""

    def __init__(self, status: int, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


@dataclasses.dataclass(frozen=True)
class Asking:
    """Who asks, and for what."""

    certificate: bytes
    thing: str
    alias: str

    @property
    def certificate_id(self) -> str:
        """The certificate's id, as AWS IoT has it."""
        return hashlib.sha256(self.certificate).hexdigest()


def credentials(
    asking: Asking,
    aliases: RoleAliases,
    lifetime: float | None = None,
    token_bytes: int | None = None,
) -> dict[str, str]:
    """Returns a new session of the alias' role.

    Args:
        asking: Who asks, and for what.
        aliases: All role aliases.
        lifetime: Seconds that it is valid for; None: what the alias says.
        token_bytes: How long its token is; None: as they are.

    Raises:
        Refused: There is none to be had.
    """
    owner = ground.owner_of(asking.certificate)
    if owner is None or owner[2] is not None:
        raise Refused(403, "Certificate is invalid on this endpoint", "AccessDeniedException")
    account, region, _ = owner
    thing, certificate_id = asking.thing, asking.certificate_id
    context = ground.policy_context(account, region, certificate_id, thing)
    del context["iot:clientid"]
    if thing and context["iot:connection.thing.isattached"] != "true":
        raise Refused(403, "Invalid thing name passed", "AccessDeniedException")
    where = account, region, certificate_id, context
    if not ground.policy_allows(*where, _ACTION, f"rolealias/{asking.alias}"):
        raise Refused(403, "Access Denied", "AccessDeniedException")
    alias = aliases.of(account, region, asking.alias)
    if alias is None:
        raise Refused(404, "Role alias does not exist", "ResourceNotFoundException")
    role = ground.role(alias["roleArn"], account)
    if role is None or not ground.trusts(role, SERVICE, account):
        raise Refused(400, "Unable to assume the role, or the role to assume does not exist")
    duration = alias["credentialDurationSeconds"]
    if duration > int(role.get("MaxSessionDuration") or 3600):
        raise Refused(
            400,
            "The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role",
        )
    variables = {"credentials-iot:AwsCertificateId": certificate_id}
    if thing:
        variables["credentials-iot:ThingName"] = thing
        kind = (ground.every_scope(ground.things)[account, region, thing] or {}).get(
            "thingTypeName"
        )
        variables |= {"credentials-iot:ThingTypeName": kind} if kind else {}
    seconds = duration if lifetime is None else lifetime
    return _session(alias, account, variables, seconds, token_bytes)


def _session(
    alias: dict[str, Any],
    account: str,
    variables: dict[str, str],
    seconds: float,
    token_bytes: int | None,
) -> dict[str, str]:
    name, now = variables["credentials-iot:AwsCertificateId"], time.time()
    role = alias["roleArn"].rpartition("/")[2]
    key, secret, token = ground.new_access_key(), ground.new_secret(), ground.new_token()
    if token_bytes is not None:
        token = (token * token_bytes)[:token_bytes]
    ground.register_session(
        key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{name}",
            "UserId": f"AROA{hashlib.sha256(role.encode()).hexdigest()[:17].upper()}:{name}",
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": now + seconds,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
            _VARIABLES: variables,
        },
    )
    # Whole seconds, as AWS gives them.
    return {
        "accessKeyId": key,
        "secretAccessKey": secret,
        "sessionToken": token,
        "expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + seconds)),
    }


def with_variables(was: Callable[..., Any]) -> Callable[..., Any]:
    """Fills a role's policies with what the session knows of the device: ministack has no such variables."""

    def resolve(access_key: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401
        principal = was(access_key, *arguments, **options)
        variables = ground.session_of(access_key).get(_VARIABLES)
        if variables and getattr(principal, "policies", None):
            principal.keys.update({name.lower(): value for name, value in variables.items()})
            principal.policies = [
                [_filled(statement, variables) for statement in statements]
                for statements in principal.policies
            ]
        return principal

    return resolve


def _filled(statement: Any, variables: dict[str, str]) -> Any:  # noqa: ANN401  ministack's own
    return dataclasses.replace(
        statement,
        resources=_replaced(statement.resources, variables),
        not_resources=_replaced(statement.not_resources, variables),
        conditions=_replaced(statement.conditions, variables),
    )


def _replaced(value: Any, variables: dict[str, str]) -> Any:  # noqa: ANN401  JSON
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [_replaced(each, variables) for each in value]
    if isinstance(value, dict):
        return {key: _replaced(each, variables) for key, each in value.items()}
    return value
