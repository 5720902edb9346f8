"""A request to AWS IoT's credentials endpoint and its answer: for the agent's cache, and for a command on its own."""

from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import TemporaryError, UnreachableError
from fleet_agent.session.http import Answer, Request
from fleet_agent.vending import formats, refusals
from fleet_agent.vending.formats import AwsCredentials, UnreadableError

# AWS refuses signatures from a clock that is further off.
SKEW_LIMIT = 300.0
_OK = 200


def request(credential: Credential, alias: str) -> Request:
    """Builds the request."""
    thing = credential.thing_name
    # With it, policies can use the thing's variables.
    headers = {"x-amzn-iot-thingname": thing} if thing else {}
    return Request(path=f"/role-aliases/{alias}/credentials", headers=headers)


def skew(answer: Answer, now: float) -> float:
    """Returns the seconds by which AWS's clock is ahead of this one (``now``, Unix seconds); 0 when it is unknown."""
    theirs = formats.date(answer.headers.get("date", ""))
    return 0.0 if theirs is None else theirs - now


def read(
    answer: Answer, alias: str, credential: Credential, settings: Settings, now: float
) -> AwsCredentials:
    """Reads the credentials from an answer.

    Args:
        answer: One with a status.
        alias: The requested role alias.
        credential: That the request was made with.
        settings: Name the endpoints.
        now: Unix seconds.

    Raises:
        AgentError: It holds none.
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
            f"The answer of {host} contains no credentials: {error}.",
            remedy="Set credentials.endpoint to the output of: "
            "aws iot describe-endpoint --endpoint-type iot:CredentialProvider",
            code="credentials-unreadable",
        ) from None
    if found.expires <= now + skew(answer, now):
        raise TemporaryError(
            f"The credentials that AWS IoT gave for {alias} had already expired ({found.expiration}).",
            remedy="Is this device's clock right (timedatectl)? The agent asks AWS again when a program does.",
            code="credentials-expired",
        )
    return found
