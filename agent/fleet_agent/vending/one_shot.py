"""AWS credentials without a running agent: a command asks AWS IoT once and keeps nothing."""

from fleet_agent.clock import Clock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.errors import UnreachableError
from fleet_agent.session import http, probe
from fleet_agent.session.route import credentials_route
from fleet_agent.vending import request
from fleet_agent.vending.formats import AwsCredentials


def ask(
    settings: Settings,
    credential: Credential,
    pair: KeyPair,
    alias: str,
    clock: Clock,
    limit: float,
) -> AwsCredentials:
    """Asks AWS for credentials of a role alias.

    Args:
        settings: Name the endpoint.
        credential: Who asks.
        pair: Its files.
        alias: What for.
        clock: The machine's.
        limit: Seconds.

    Raises:
        AgentError: There are none; says why.
    """
    route = credentials_route(settings)
    answer = http.once(route, pair, request.request(credential, alias), limit)
    if answer.status is None:
        raise probe.first_failure(route, pair, clock.wall()) or UnreachableError(
            f"No answer from {route.host}:{route.port}: {answer.error}.",
            remedy="See whether firewalls let it through: fleet-agent doctor --online",
            code="credentials-unanswered",
        )
    return request.read(answer, alias, credential, settings, clock.wall())
