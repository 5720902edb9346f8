"""AWS credentials for local programs, as the daemon serves them: the sockets, the allow-list, and the cache behind."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fleet_agent.clock import Clock
from fleet_agent.config.credentials import Credentials
from fleet_agent.config.settings import Settings
from fleet_agent.errors import AgentError, StateDirectoryError, UsageError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.vending import packet
from fleet_agent.vending.alias import Cancel, Result
from fleet_agent.vending.allow_list import AllowList
from fleet_agent.vending.cache import CredentialsCache, Source
from fleet_agent.vending.formats import AwsCredentials
from fleet_agent.vending.packet import Request
from fleet_agent.vending.socket import Reply, Socket

if TYPE_CHECKING:
    from fleet_agent.vending.authorization_tokens import AuthorizationTokens


class Service:
    """Serves what the section `credentials` configures.

    Args:
        settings: All of them.
        wanted: The section.
        source: Returns the credential in use.
        mailbox: Where events arrive.
        clock: For deadlines.
        health: Where problems are reported.
        listeners: Keep the socket open when this process is replaced.
        runtime_dir: Where the socket is.
    """

    name = "credentials"

    def __init__(  # noqa: PLR0913 - everything the service needs
        self,
        settings: Settings,
        wanted: Credentials,
        *,
        source: Source,
        mailbox: Mailbox,
        clock: Clock,
        health: Health,
        listeners: Listeners,
        runtime_dir: Path,
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._health = health
        self._allowed = AllowList(wanted.aliases)
        self._cache = CredentialsCache(settings, wanted, source, mailbox, clock, health)
        self.path = runtime_dir / packet.NAME
        self._socket = Socket(
            self.path,
            group=wanted.group,
            listeners=listeners,
            mailbox=mailbox,
            clock=clock,
            serve=self._serve,
            opened=partial(self._report, "socket"),
            failed=partial(self._report, "socket"),
        )
        # The last answer in each format: the same credentials are serialised once.
        self._written: dict[str, tuple[AwsCredentials, bytes]] = {}
        self._tokens: AuthorizationTokens | None = None
        self._parts: list[_Part] = [self._cache, self._socket]
        self.port = wanted.http_port
        if self.port is not None:
            self._add_endpoint(self.port, listeners, mailbox, clock)

    def _add_endpoint(
        self, port: int, listeners: Listeners, mailbox: Mailbox, clock: Clock
    ) -> None:
        from fleet_agent.vending.authorization_tokens import AuthorizationTokens
        from fleet_agent.vending.container_endpoint import ContainerEndpoint

        try:
            self._tokens = AuthorizationTokens(Path(self._settings.state_dir))
        except StateDirectoryError as error:
            self._report("http", f"no tokens can be issued: {error.title.rstrip('.')}")
            return
        self._parts.append(
            ContainerEndpoint(
                port,
                listeners=listeners,
                mailbox=mailbox,
                clock=clock,
                serve=self._serve_http,
                opened=partial(self._report, "http"),
                failed=partial(self._report, "http"),
            )
        )

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min(part.due for part in self._parts)

    def act(self) -> None:
        """Lets every part act on its deadlines."""
        for part in self._parts:
            part.act()

    def close(self) -> None:
        """Closes all connections and clears the cache."""
        for part in reversed(self._parts):
            part.close()
        self._written.clear()

    def _report(self, name: str, why: str | None) -> None:
        """Reports or clears the problem of the socket or of the HTTP endpoint; ``why``: its fault, or None."""
        problems = [*self._allowed.problems, *([] if why is None else [why])]
        if problems:
            title = f"Credentials for programs: {'; '.join(problems)}."
            self._health.report(table.CREDENTIALS_UNSERVED.problem(title, name=name))
        else:
            self._health.clear(table.CREDENTIALS_UNSERVED, name)

    # Over the socket --------------------------------------------------------------------------------------------------

    def _serve(self, user: int, request: Request, reply: Reply) -> Cancel:
        try:
            if request.is_token:
                reply(self._token(user, request.alias))
                return _nothing
            name = self._allowed.alias(user, request.alias)
        except AgentError as error:
            reply(packet.refusal(error))
            return _nothing
        return self._cache.get(name, partial(self._hand_out, name, reply))

    def _hand_out(self, name: str, reply: Reply, outcome: Result) -> None:
        if isinstance(outcome, AgentError):
            reply(packet.refusal(outcome))
        else:
            reply(self._dump(f"socket {name}", outcome, _for_socket))

    def _token(self, user: int, wanted: str) -> bytes:
        name = self._allowed.alias(user, wanted)
        if self._tokens is None:
            raise UsageError(
                "The agent does not give credentials over HTTP.",
                remedy="Set credentials.http_port, then: systemctl reload fleet-agent",
                code="http-off",
            )
        url = f"http://127.0.0.1:{self._wanted.http_port}/role-aliases/{name}/credentials"
        return packet.answer(token=self._tokens.of(user), url=url)

    # Over HTTP --------------------------------------------------------------------------------------------------------

    def _serve_http(
        self, token: str, wanted: str, reply: Callable[[bytes | AgentError], None]
    ) -> Cancel | None:
        user = self._tokens.user(token) if self._tokens else None
        if user is None:
            return None
        try:
            name = self._allowed.alias(user, wanted)
        except AgentError as error:
            reply(error)
            return _nothing
        return self._cache.get(name, partial(self._hand_out_http, name, reply))

    def _hand_out_http(
        self, name: str, reply: Callable[[bytes | AgentError], None], outcome: Result
    ) -> None:
        if isinstance(outcome, AgentError):
            reply(outcome)
        else:
            reply(self._dump(f"http {name}", outcome, _for_http))

    def _dump(
        self, key: str, found: AwsCredentials, dump: Callable[[AwsCredentials], bytes]
    ) -> bytes:
        known = self._written.get(key)
        if known is None or known[0] is not found:
            known = self._written[key] = (found, dump(found))
        return known[1]


class _Part(Protocol):
    @property
    def due(self) -> float: ...
    def act(self) -> None: ...
    def close(self) -> None: ...


def _nothing() -> None:
    """Cancels nothing: no one waits."""


def _for_socket(found: AwsCredentials) -> bytes:
    return packet.answer(credentials=found.for_process())


def _for_http(found: AwsCredentials) -> bytes:
    return json.dumps(found.for_container()).encode()
