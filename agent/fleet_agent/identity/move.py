"""Moves the device to another account or region: gets an identity there by that destination's claim.

The walk is that of provisioning. The identity in use is not touched before the new one is proven; what is not proven
in time is given up and named in the ledger, and the device goes on where it was. An order names a destination of the
configuration and carries nothing else.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent import files
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, Generation, Home
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, DeviceError
from fleet_agent.identity import home, state_lock
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use
from fleet_agent.identity.rotate import no_identity
from fleet_agent.identity.walk import Request, by_hand, walk
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.provisioning.report import Report
from fleet_agent.statedir.owner import become_owner

if TYPE_CHECKING:
    from fleet_agent.provisioning.runner import Provisioned

# In the state directory: the destination that the command requests of the running agent.
REQUEST_FILE = "move-to"
_MOST = 64  # bytes of a name


def begun(settings: Settings, found: Generation | None) -> str | None:
    """Returns the destination of an unfinished move that is still allowed; None: there is none."""
    name = found.attempt.home.name if found and found.attempt.home else None
    wanted = settings.move.allowed.get(name or "")
    if found is None or wanted is None or wanted.endpoint != found.attempt.endpoint:
        return None
    return name


def move(settings: Settings, name: str, report: Report, *, timeout: float) -> Credential:
    """Moves while no agent runs.

    Args:
        settings: Name the destinations.
        name: Of one of them.
        report: Receives the steps.
        timeout: Seconds; 0 for ever.

    Raises:
        AgentError: What stopped it; the device is where it was.
        StopRequested: It was interrupted; asked again, it goes on.
    """
    become_owner(Path(settings.state_dir))
    state_lock.take(settings, allow_volatile=True)
    store = open_store(settings)
    return by_hand(lambda mailbox: walk_to(settings, name, store, mailbox, report), timeout)


def walk_to(
    settings: Settings, name: str, store: Store, mailbox: Mailbox, report: Report
) -> "Provisioned":
    """Walks to an identity at a destination, with no session of this device open.

    Raises:
        AgentError: What stopped it; the device is where it was, and nothing is under way.
        StopRequested: The agent is to end.
    """
    wanted = home.destination(settings, name)
    current = in_use(store)
    if current is None:
        raise no_identity()
    if home.is_there(settings, name, current):
        raise DeviceError(
            f"This device is already at {name}.",
            remedy="There is nothing to do.",
            code="moved-already",
        )
    pending = store.pending()
    if pending is not None and pending.attempt.tries > 0 and begun(settings, pending) != name:
        # A rotation that was begun where the device leaves, or a move to elsewhere.
        store.give_up(pending)
    there = home.at(settings, wanted)
    # The certificate in use is unknown there.
    by_claim = dataclasses.replace(there.rotation, credential="claim")
    there = dataclasses.replace(there, rotation=by_claim)
    its_home = Home(name=name, port=wanted.port, ca_file=wanted.ca_file)
    try:
        return walk(there, Request(), report, store, mailbox, in_use=current, home=its_home)
    except AgentError:
        if (left := store.pending()) is not None:
            store.give_up(left)
        raise


# Asked of the running agent -------------------------------------------------------------------------------------------


def request(state_dir: Path, name: str) -> None:
    """Leaves a destination's name for the running agent, which looks for it when it is asked to rotate.

    Raises:
        StateDirectoryError: It cannot be written.
    """
    files.write(state_dir / REQUEST_FILE, name.encode(), 0o600)


def take_request(state_dir: Path) -> str | None:
    """Takes the requested destination; None: there is none.

    Raises:
        StateDirectoryError: It cannot be read, or not removed.
    """
    path = state_dir / REQUEST_FILE
    found = files.read(path)
    if found is None:
        return None
    files.remove(path)
    return found[:_MOST].decode("ascii", "replace")
