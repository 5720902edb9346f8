"""Brings a device back whose identity is dead: another certificate for the same thing and the same key, by the claim.

The walk is that of provisioning, beside the identity in use, which stays until the new one is proven. It is bounded, as
a rotation within the daemon is; what stopped it is kept, and says when the next try comes.
"""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.clock import Clock, jitter
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, Generation
from fleet_agent.credentials.store import Store
from fleet_agent.errors import (
    ATTEMPT_DIFFERS,
    STATE_DAMAGED,
    AgentError,
    NotAllowedError,
    NotApprovedError,
    RefusedError,
    StateDirectoryError,
)
from fleet_agent.identity import claim_removal, ladder, recovery_state
from fleet_agent.identity.ladder import Rung
from fleet_agent.identity.recovery_state import RecoveryState
from fleet_agent.identity.walk import Recovery, Request, walk, within
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.provisioning.model import RejectedError, Step
from fleet_agent.provisioning.report import Report

if TYPE_CHECKING:
    from fleet_agent.provisioning.runner import Provisioned

_log = logging.getLogger(__name__)

LIMIT = 120.0  # seconds that a try may take, at most: local programs wait meanwhile

# Errors of an attempt under way that nothing can finish.
_USELESS = frozenset({ATTEMPT_DIFFERS, STATE_DAMAGED})


def lacks(settings: Settings) -> str | None:
    """Describes what a device lacks to request another certificate; None: nothing."""
    if settings.provisioning is None:
        return "the configuration has no section `provisioning`"
    if settings.claim is None:
        return "the configuration has no claim"
    if not claim_removal.is_there(settings.claim, os.environ):
        deleted = settings.claim.after_success == "delete"
        return "its claim was deleted (claim.after_success)" if deleted else "its claim is gone"
    return None


def pending(store: Store) -> Generation | None:
    """The attempt under way, if it can be read."""
    try:
        return store.pending()
    except StateDirectoryError:
        return None


def certificate_left(known: RecoveryState, clock: Clock) -> float:
    """Returns the seconds until a certificate may be requested; 0 or less: now."""
    if known.asked is None:
        return 0.0
    passed = recovery_state.since(known.asked, clock)
    return ladder.certificate_left(passed, was_refused=known.starts_over)


class Limit:
    """Lets one request for a certificate through a day, which is on disk before it is made.

    Args:
        state_dir: Where it is kept.
        known: What is known so far.
        clock: For the time.
    """

    def __init__(self, state_dir: Path, known: RecoveryState, clock: Clock) -> None:
        self._state_dir = state_dir
        self.known = known
        self._clock = clock

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Surrounds a request for a certificate; where AWS IoT said no, none was made, and it does not count.

        Raises:
            RefusedError: One was made a moment ago.
            StateDirectoryError: It cannot be written down.
        """
        if certificate_left(self.known, self._clock) > 0:
            raise RefusedError(
                "The last new certificate did not work either, and one is requested at most once a day.",
                remedy="The agent requests the next one by itself.",
                code="certificate-limit",
            )
        before = self.known.asked
        self._keep(dataclasses.replace(self.known, asked=recovery_state.stamp(self._clock)))
        try:
            yield
        except (RejectedError, NotAllowedError):
            self._keep(dataclasses.replace(self.known, asked=before))
            raise

    def _keep(self, known: RecoveryState) -> None:
        recovery_state.write(self._state_dir, known)
        self.known = known


def attempt(
    settings: Settings,
    store: Store,
    current: Credential,
    mailbox: Mailbox,
    report: Report,
    clock: Clock,
) -> "Provisioned | AgentError":
    """Asks once; no session of this device is open meanwhile.

    Returns:
        The identity that took the place of the dead one; or what stopped it, which is on disk with the next try.

    Raises:
        StopRequested: The agent is to end.
    """
    state_dir = Path(settings.state_dir)
    known = recovery_state.read(state_dir)
    starts_over = known.starts_over and certificate_left(known, clock) <= 0
    found = pending(store)
    # On disk before anything is tried: who is killed in it does not come again at once.
    tries = known.tries + 1
    known = dataclasses.replace(
        known.at(Rung.ASKING, "requesting a new certificate with the claim", clock.wall()),
        tries=tries,
        tried=recovery_state.stamp(clock),
        wait=ladder.wait(None, tries, jitter()),
        starts_over=known.starts_over and not starts_over,
    )
    limit = Limit(state_dir, known, clock)

    def act(mailbox: Mailbox) -> "Provisioned":
        recovery_state.write(state_dir, known)
        return walk(
            settings,
            Request(restart=starts_over or _is_in_the_way(found, current)),
            report,
            store,
            mailbox,
            in_use=current,
            home=current.home,
            recovery=_recovery(found, current, limit, starts_over=starts_over),
        )

    done = within(LIMIT, act, mailbox, "the identity was not recovered")
    if isinstance(done, AgentError):
        _keep_failure(state_dir, limit.known, done, clock)
        return done
    words = f"certificate {done.credential.certificate_id} is in use"
    _keep(state_dir, limit.known.in_service(words, clock.wall()))
    return done


def _is_in_the_way(found: Generation | None, current: Credential) -> bool:
    return found is not None and not ladder.goes_on(found, current.generation)


def _recovery(
    found: Generation | None, current: Credential, limit: Limit, *, starts_over: bool
) -> Recovery:
    """Returns the recovery's request: with the key of the identity in use, unless an attempt is registered already."""
    if found is not None and found.registration is not None and not starts_over:
        return Recovery(
            key_of=found.attempt.key_of, method=found.attempt.method, asking=limit.asking
        )
    return Recovery(key_of=current.generation, method="csr", asking=limit.asking)


def _keep_failure(state_dir: Path, known: RecoveryState, error: AgentError, clock: Clock) -> None:
    is_refused = isinstance(error, RefusedError) and error.step == Step.PROVE.value
    rung = Rung.APPROVAL if isinstance(error, NotApprovedError) else Rung.WAITING
    known = dataclasses.replace(
        known.at(rung, error.title, clock.wall()),
        tried=recovery_state.stamp(clock),
        wait=ladder.wait(error, known.tries, jitter()),
        remedy=error.remedy,
        starts_over=known.starts_over or is_refused or error.code in _USELESS,
    )
    _keep(state_dir, known)


def _keep(state_dir: Path, known: RecoveryState) -> None:
    try:
        recovery_state.write(state_dir, known)
    except StateDirectoryError as error:
        _log.warning("%s %s", error.title, error.remedy)


def give_up_attempt(store: Store, current: Credential) -> None:
    """The identity works again: what was begun to replace it is not gone on with.

    Raises:
        StateDirectoryError: It cannot be given up.
    """
    found = pending(store)
    if found is not None and found.attempt.key_of == current.generation:
        store.give_up(found)
