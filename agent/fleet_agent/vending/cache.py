"""Caches credentials for every role alias: asks AWS once for all who wait, refreshes what is used, reports failures.

Runs on the deciding thread. Credentials are never written to disk or logged.
"""

import logging
import math
import threading
from collections.abc import Callable
from functools import partial

from fleet_agent import clock as clocks
from fleet_agent.clock import Clock, jitter
from fleet_agent.config.credentials import Credentials
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.errors import AgentError, UnreachableError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.process import log
from fleet_agent.process.log import Moment
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.record import record
from fleet_agent.session.backoff import DIAGNOSE_AGAIN
from fleet_agent.session.http import Answer, Exchange
from fleet_agent.session.route import Route, credentials_route
from fleet_agent.vending import request
from fleet_agent.vending.alias import (
    MIN_LIFETIME,
    AliasState,
    CachedCredentials,
    Cancel,
    Result,
    Waiter,
)

_log = logging.getLogger(__name__)

LIMIT = 20.0  # seconds for a request, all of it

Source = Callable[[], tuple[Credential, KeyPair]]


@record
class _Attempt:
    """A request for an alias's credentials, and what it was made with."""

    alias: AliasState
    number: int
    credential: Credential
    pair: KeyPair
    route: Route

    @property
    def is_over(self) -> bool:
        """Whether its answer no longer matters."""
        return not self.alias.is_asking or self.alias.attempt != self.number


class CredentialsCache:
    """The credentials of all role aliases.

    Args:
        settings: Name the endpoint and the aliases.
        wanted: The section ``credentials``.
        source: Returns the credential in use, and its files as they are now.
        mailbox: Where answers arrive.
        clock: For deadlines.
        health: Where problems and the status are reported.
    """

    def __init__(
        self,
        settings: Settings,
        wanted: Credentials,
        source: Source,
        mailbox: Mailbox,
        clock: Clock,
        health: Health,
    ) -> None:
        self._settings = settings
        self._source = source
        self._mailbox = mailbox
        self._clock = clock
        self._health = health
        self._aliases = {name: AliasState(name) for name in wanted.aliases}
        self._exchanges: dict[str, tuple[Exchange, float]] = {}
        self._diagnosed: tuple[str, float] = ("", -math.inf)
        self._known_cause: AgentError | None = None
        for alias in self._aliases.values():
            self._update_status(alias)

    def __contains__(self, name: str) -> bool:
        return name in self._aliases

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        limits = (limit for _, limit in self._exchanges.values())
        return min((*limits, *(alias.due for alias in self._aliases.values())), default=math.inf)

    def act(self) -> None:
        """Refreshes what is due; gives up on requests that take too long."""
        now = self._clock.monotonic()
        for name, (exchange, limit) in list(self._exchanges.items()):
            if limit <= now:
                del self._exchanges[name]
                exchange.cancel(f"no answer within {LIMIT:g} s")
        for alias in self._aliases.values():
            if alias.is_due(now):
                self._ask(alias)

    def close(self) -> None:
        """Drops everything; waiters are not called any more."""
        for exchange, _ in self._exchanges.values():
            exchange.cancel("the agent is ending")
        self._exchanges.clear()
        self._aliases.clear()

    def get(self, name: str, waiter: Waiter) -> Cancel:
        """Hands an alias's credentials to ``waiter``: cached ones at once, new ones when they arrive.

        Returns:
            What to call when it no longer waits.
        """
        alias = self._aliases[name]
        now = self._clock.monotonic()
        alias.is_wanted = True
        cached = alias.cached
        if cached is not None and cached.seconds_left(now, self._clock.wall()) > MIN_LIFETIME:
            if alias.is_due(now):
                self._ask(alias)
            waiter(cached.credentials)
        elif alias.is_asking or alias.not_before <= now:
            alias.waiters.append(waiter)
            if not alias.is_asking:
                self._ask(alias)
        else:
            waiter(self._outcome(alias))
        return partial(alias.cancel, waiter)

    def _outcome(self, alias: AliasState) -> Result:
        """Returns the credentials while they are valid, or the error."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        if alias.cached is not None and alias.cached.seconds_left(now, wall) > 0:
            return alias.cached.credentials
        return alias.error or _no_answer("the agent is ending", None)

    # Asking AWS -------------------------------------------------------------------------------------------------------

    def _ask(self, alias: AliasState) -> None:
        alias.is_asking = True
        alias.attempt += 1
        limit = self._clock.monotonic() + LIMIT
        try:
            credential, pair = self._source()
            attempt = _Attempt(
                alias=alias,
                number=alias.attempt,
                credential=credential,
                pair=pair,
                route=credentials_route(self._settings),
            )
            asked = request.request(credential, alias.name)
            exchange = Exchange(attempt.route, pair, asked, partial(self._post, attempt))
            self._exchanges[alias.name] = (exchange, limit)
        except AgentError as error:
            self._on_failure(alias, error)

    def _post(self, attempt: _Attempt, answer: Answer) -> None:
        """Puts the answer into the mailbox; called on awscrt's thread."""
        self._mailbox.put(Ready(partial(self._on_answer, attempt, answer)))

    def _on_answer(self, attempt: _Attempt, answer: Answer) -> None:
        alias = attempt.alias
        if attempt.is_over or alias.name not in self._aliases:
            return
        self._exchanges.pop(alias.name, None)
        if answer.status is None:
            self._diagnose(attempt, answer.error)
            return
        wall = self._clock.wall()
        skew = request.skew(answer, wall)
        self._check_clock(skew)
        try:
            found = request.read(answer, alias.name, attempt.credential, self._settings, wall)
        except AgentError as error:
            self._on_failure(alias, error)
            return
        now, lifetime = self._clock.monotonic(), found.expires - wall - skew
        cached = CachedCredentials(found, until=now + lifetime, wall_until=wall + lifetime)
        waiters = alias.received(cached, now, wall, jitter())
        self._health.clear(table.CREDENTIALS_FAILED, alias.name)
        self._update_status(alias)
        for waiter in waiters:
            waiter(found)

    def _on_failure(self, alias: AliasState, error: AgentError) -> None:
        waiters = alias.failed(error, self._clock.monotonic(), jitter())
        problem = table.CREDENTIALS_FAILED.problem(error.title, error.remedy, name=alias.name)
        if self._health.report(problem):
            words = alias.name, error.title, error.remedy
            fields = log.fields(Moment.PROBLEM, problem=problem.kind.code)
            _log.warning("role alias %s: %s %s", *words, extra=fields)
        self._update_status(alias)
        outcome = self._outcome(alias)
        for waiter in waiters:
            waiter(outcome)

    def _check_clock(self, skew: float) -> None:
        if abs(skew) <= request.SKEW_LIMIT:
            self._health.clear(table.CREDENTIALS_CLOCK)
            return
        side = "behind" if skew > 0 else "ahead of"
        self._health.report(
            table.CREDENTIALS_CLOCK.problem(
                f"This device's clock is {abs(skew):.0f} s {side} AWS's, so AWS refuses requests that it signs."
            )
        )

    # Why there was no answer ------------------------------------------------------------------------------------------

    def _diagnose(self, attempt: _Attempt, words: str) -> None:
        """Looks for the cause on another thread; the waiters receive it."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        known, again = self._diagnosed
        if words == known and now < again:
            self._on_failure(attempt.alias, self._known_cause or _no_answer(words, attempt.route))
            return
        self._diagnosed = (words, now + DIAGNOSE_AGAIN)

        def look() -> None:
            found = None
            try:
                # Its ssl costs 4 MB: only when something is wrong.
                from fleet_agent.session import probe

                found = probe.first_failure(attempt.route, attempt.pair, wall)
            except Exception as error:  # noqa: BLE001 - without an end, the alias would never be asked for again
                _log.warning("the cause was not found: %s", error)
            found = found or _no_answer(words, attempt.route)
            self._mailbox.put(Ready(partial(self._on_diagnosis, attempt, found)))

        try:
            threading.Thread(target=look, daemon=True).start()
        except RuntimeError:  # the unit, or the machine, has no thread left
            self._on_failure(attempt.alias, _no_answer(words, attempt.route))

    def _on_diagnosis(self, attempt: _Attempt, error: AgentError) -> None:
        self._known_cause = error
        if not attempt.is_over:
            self._on_failure(attempt.alias, error)

    # The status -------------------------------------------------------------------------------------------------------

    def _update_status(self, alias: AliasState) -> None:
        shown = self._health.traffic.credentials.setdefault(
            alias.name, {"expires": None, "last_error": None, "last_error_time": None}
        )
        shown["expires"] = alias.cached.credentials.expiration if alias.cached else None
        if alias.error is not None:
            shown["last_error"] = alias.error.title
            shown["last_error_time"] = clocks.text(self._clock.wall())
        self._health.is_outdated = True


def _no_answer(words: str, route: Route | None) -> UnreachableError:
    where = f"{route.host}:{route.port}" if route else "AWS IoT"
    return UnreachableError(
        f"No answer from {where}: {words}.",
        remedy="Check that firewalls allow the port, and the proxy if there is one: "
        "fleet-agent doctor --online",
        code="credentials-unanswered",
    )
