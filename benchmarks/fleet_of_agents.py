"""Devices for ``takeover``: each is the agent's own walk, store and sessions; those in service are a process."""

import dataclasses
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.errors import AgentError, NotApprovedError
from fleet_agent.identity import own_session, recover, recovery_state
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.walk import Request, walk
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.programs.worker import Worker
from fleet_agent.provisioning.report import Milestone
from fleet_agent.session.events import Connected, ConnectFailed, Disconnected
from fleet_agent.session.mqtt import Session

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LIMIT = 60.0  # seconds for a connection to stand, or to be refused
PATIENCE = 1800.0  # seconds for all to come back

T = TypeVar("T")


class Quiet:
    """Nobody reads a thousand walks."""

    def step(self, name: Milestone, detail: str = "") -> None:
        """A step is done."""

    def waiting(self, why: str, seconds: float, problem: object = None) -> None:
        """Something is tried again."""

    def problem(self, problem: AgentError) -> None:
        """Something should be looked at."""


class Here(Worker):
    """Calls in this process: the fleet is only set up with it."""

    def ask(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Nothing is imported ahead."""

    def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:  # noqa: ANN401
        """Call it."""
        return function(*args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Device:
    """One device's configuration; all else is on its disk."""

    serial: str
    settings: Settings

    @property
    def credential(self) -> Credential:
        """What it has in use."""
        found = open_store(self.settings).current()
        if found is None:
            raise AssertionError(f"{self.serial} has no identity")
        return found

    @property
    def pair(self) -> KeyPair:
        """Its certificate and key."""
        return open_store(self.settings).key_pair(self.credential.generation)

    def provision(self) -> None:
        """Get an identity by the claim; where the hook does not answer on a loaded machine, again.

        Raises:
            AgentError: It was refused, for instance.
        """
        store = open_store(self.settings)
        until = time.monotonic() + PATIENCE
        while True:
            mailbox = mailbox_of_thread(PATIENCE)
            try:
                done = walk(self.settings, Request(), Quiet(), store, mailbox, worker=Here())
            except NotApprovedError:
                raise
            except AgentError:
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)
            else:
                if done.session is not None:
                    done.session.close()
                return

    def open(self, mailbox: Mailbox) -> Session:
        """Open its session, as the daemon does."""
        session = own_session.open_session(self.settings, self.credential, self.pair, mailbox)
        session.start()
        return session

    def come_back(self, until: float) -> float:
        """From the first refusal on; give the seconds it took."""
        began = time.monotonic()
        clock = SystemClock()
        mailbox = mailbox_of_thread()
        session = self.open(mailbox)
        heard = hear(
            mailbox,
            lambda event: (
                isinstance(event, Connected | ConnectFailed) and event.session is session
            ),
        )
        session.close()
        if not isinstance(heard, ConnectFailed):
            raise AssertionError(f"{self.serial} is not refused")  # noqa: TRY004 - an outcome
        known = recovery_state.RecoveryState()
        while time.monotonic() < until:
            store, before = open_store(self.settings), self.credential
            done = recover.attempt(self.settings, store, before, mailbox, Quiet(), clock)
            if not isinstance(done, AgentError):
                if done.session is not None:
                    done.session.close()
                return time.monotonic() - began
            known = recovery_state.read(Path(self.settings.state_dir))
            time.sleep(min(known.wait, 5.0))
        raise AssertionError(f"{self.serial} is not back: {known.why}")


_of_thread = threading.local()


def mailbox_of_thread(limit: float | None = None) -> Mailbox:
    """This thread's, which has a descriptor; with a limit of so many seconds."""
    found: Mailbox | None = getattr(_of_thread, "mailbox", None)
    if found is None:
        found = _of_thread.mailbox = Mailbox(SystemClock())
    found.limit(None if limit is None else time.monotonic() + limit)
    return found


def hear(mailbox: Mailbox, wanted: Callable[[object], bool]) -> object:
    """The first event that is wanted; None: none came in time."""
    until = time.monotonic() + LIMIT
    while (event := mailbox.wait(until)) is not None:
        if wanted(event):
            return event
    return None


class Service:
    """Devices in service, in a process of their own: their sessions take many descriptors.

    Args:
        devices: All of them are connected once this is made.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(devices, theirs), daemon=True)
        self._process.start()
        if not self._pipe.recv():
            raise AssertionError("not all are in service")

    def end(self) -> list[str]:
        """End them; who was disturbed meanwhile, in words."""
        self._pipe.send(None)
        found: list[str] = self._pipe.recv()
        self._process.join()
        return found


def _serve(devices: Sequence[Device], pipe: "Connection") -> None:
    logging.disable(logging.WARNING)
    mailbox = Mailbox(SystemClock())
    sessions = [device.open(mailbox) for device in devices]
    events = [hear(mailbox, lambda event: isinstance(event, Connected)) for _ in sessions]
    pipe.send(None not in events)
    pipe.recv()
    found = []
    while (event := mailbox.wait(0.0)) is not None:
        if isinstance(event, Disconnected):
            found.append(f"a session in service ended: {event.error}")
    for session in sessions:
        session.close()
    pipe.send(found)
