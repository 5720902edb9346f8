"""One request for credentials, and what came of it: for the agent's cache, and for a command that runs alone."""

from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import TemporaryError, UnreachableError
from fleet_agent.session.http import Answer, Request
from fleet_agent.vending import formats, refusals
from fleet_agent.vending.formats import AwsCredentials, UnreadableError

# AWS refuses signatures by a clock that is further off.
SKEW_LIMIT = 300.0
_OK = 200


def request(credential: Credential, alias: str) -> Request:
    """What is asked for."""
    thing = credential.thing_name
    # With it, the thing's variables stand in the policies.
    headers = {"x-amzn-iot-thingname": thing} if thing else {}
    return Request(path=f"/role-aliases/{alias}/credentials", headers=headers)


def skew(answer: Answer, now: float) -> float:
    """Seconds by which AWS's clock is ahead of this one (``now``, Unix seconds); 0 where it does not say."""
    theirs = formats.date(answer.headers.get("date", ""))
    return 0.0 if theirs is None else theirs - now


def read(
    answer: Answer, alias: str, credential: Credential, settings: Settings, now: float
) -> AwsCredentials:
    """What an answer brought.

    Args:
        answer: One with a status.
        alias: What was asked for.
        credential: Who asked.
        settings: Name the endpoints.
        now: Unix seconds.

    Raises:
        AgentError: No credentials.
    """
    host = settings.credentials.endpoint if settings.credentials else ""
    if answer.status != _OK:
        raise refusals.error(
            answer.status or 0,
            formats.message(answer.body),
            alias,
            thing=credential.thing_name,
            host=host,
            endpoint=settings.endpoint,
        )
    try:
        found = formats.read(answer.body)
    except UnreadableError as error:
        raise UnreachableError(
            f"{host} answers what are no credentials: {error}.",
            remedy="Set credentials.endpoint to what this shows: "
            "aws iot describe-endpoint --endpoint-type iot:CredentialProvider",
            code="credentials-unreadable",
        ) from None
    if found.expires <= now + skew(answer, now):
        raise TemporaryError(
            f"The credentials that AWS IoT gave for {alias} had expired already ({found.expiration}).",
            remedy="Is this device's clock right (timedatectl)? AWS is asked again when a program asks.",
            code="credentials-expired",
        )
    return found
