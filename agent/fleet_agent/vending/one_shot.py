"""AWS credentials without a running agent: one request to AWS IoT, nothing cached."""

from fleet_agent.clock import Clock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.errors import UnreachableError
from fleet_agent.session import http, probe
from fleet_agent.session.route import credentials_route
from fleet_agent.vending import request
from fleet_agent.vending.formats import AwsCredentials


def fetch(
    settings: Settings,
    credential: Credential,
    pair: KeyPair,
    alias: str,
    clock: Clock,
    limit: float,
) -> AwsCredentials:
    """Asks AWS IoT for credentials of a role alias.

    Args:
        settings: Name the endpoint.
        credential: Whose thing name is sent.
        pair: The credential's files.
        alias: The role alias.
        clock: The machine's.
        limit: Seconds.

    Raises:
        AgentError: AWS gave none.
    """
    route = credentials_route(settings)
    answer = http.once(route, pair, request.request(credential, alias), limit)
    if answer.status is None:
        raise probe.first_failure(route, pair, clock.wall()) or UnreachableError(
            f"No answer from {route.host}:{route.port}: {answer.error}.",
            remedy="Check that firewalls allow the port: fleet-agent doctor --online",
            code="credentials-unanswered",
        )
    return request.read(answer, alias, credential, settings, clock.wall())
