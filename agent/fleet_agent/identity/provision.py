"""What ``provision`` does, and ``run`` before anything else.

Imports that cost (the SDK, cryptography) stand in the functions that need them: ``status`` and an already provisioned
``provision`` touch neither.
"""

import contextlib
import logging
from contextlib import AbstractContextManager
from pathlib import Path

from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, StateDirectoryError, UsageError
from fleet_agent.identity import clone, state_lock
from fleet_agent.identity.configured import open_store, with_stable_paths
from fleet_agent.identity.in_use import in_use
from fleet_agent.identity.walk import Request, by_hand, walk
from fleet_agent.programs.worker import Worker
from fleet_agent.provisioning.report import Report
from fleet_agent.record import record
from fleet_agent.statedir import filesystem
from fleet_agent.statedir.lock import Lock, take_lock
from fleet_agent.statedir.owner import become_owner

_log = logging.getLogger(__name__)


@record
class Result:
    """The result of ``provision``: the credential, and whether it existed before."""

    credential: Credential
    was_there: bool


def provision(
    settings: Settings, request: Request, reporting: AbstractContextManager[Report]
) -> Result:
    """Gives this device an identity, or finds that it has one.

    Args:
        settings: The configuration.
        request: What the caller asked for.
        reporting: Entered for the walk alone; it may have a thread, which what comes before must not.

    Raises:
        AgentError: What stopped it.
        StopRequested: It was interrupted; asked again, it goes on.
    """
    become_owner(Path(settings.state_dir))
    store = open_store(settings)
    if not request.force and (found := in_use(store)):
        _refuse_restart_alone(request, store)
        _update_ledger(Path(settings.state_dir), store, found)
        if problem := clone.look(Path(settings.state_dir), found):
            _log.warning("%s %s", problem.title, problem.remedy)
        return Result(credential=with_stable_paths(store, found), was_there=True)
    # Before the lock, which it must not have, and before any thread.
    with contextlib.closing(Worker.forked()) as worker:
        return _provision(settings, request, reporting, store, worker)


def _provision(
    settings: Settings,
    request: Request,
    reporting: AbstractContextManager[Report],
    store: Store,
    worker: Worker,
) -> Result:
    _take_state_by_hand(settings, allow_volatile=request.allow_volatile)
    # --force is also the way out of a damaged identity: it does not look at it.
    if not request.force and (found := in_use(store)):  # another agent provisioned meanwhile
        return Result(credential=with_stable_paths(store, found), was_there=True)
    with reporting as report:
        credential = by_hand(
            lambda mailbox: walk(settings, request, report, store, mailbox, worker=worker),
            request.timeout,
        )
    return Result(credential=with_stable_paths(store, credential), was_there=False)


def _update_ledger(state_dir: Path, store: Store, found: Credential) -> None:
    """Records in the ledger what is in use, should the last walk have ended right after the swap."""
    if not store.is_recorded(found):
        # ``run`` reports it, too; a user who may only look has the answer all the same.
        with contextlib.suppress(AgentError):
            take_lock(state_dir)
            store.update_ledger()


def _refuse_restart_alone(request: Request, store: Store) -> None:
    if request.restart and store.pending() is not None:
        raise UsageError(
            "This device is already provisioned; the unfinished attempt would provision it again.",
            remedy="Discard the attempt and start over: fleet-agent provision --force --restart",
            code="usage",
        )


def _take_state_by_hand(settings: Settings, *, allow_volatile: bool) -> Lock:
    """As ``state_lock.take``, but a volatile place is only a warning: the user chose it, and reads this."""
    try:
        return state_lock.take(settings, allow_volatile=allow_volatile)
    except StateDirectoryError as error:
        if error.code != filesystem.VOLATILE:
            raise
        _log.warning("%s `fleet-agent run` refuses it.", error.title)
    return take_lock(Path(settings.state_dir))
