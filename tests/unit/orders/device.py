"""A device that takes jobs: the real ``Jobs`` over real handlers, and ``Cloud`` at the other end."""

import collections
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fleet_agent.config.handlers import ExecHandler, Handler
from fleet_agent.config.orders import Jobs as Settings
from fleet_agent.config.rotation import Rotation
from fleet_agent.config.settings import Settings as Configuration
from fleet_agent.credentials.model import Credential
from fleet_agent.daemon.jobs import make_jobs
from fleet_agent.daemon.orders_context import OrdersContext
from fleet_agent.files.reserved import Reserved
from fleet_agent.health.status import Health
from fleet_agent.orders.filters import NOWHERE, Moves
from fleet_agent.orders.handler_context import HandlerContext
from fleet_agent.orders.handler_registry import FOLDER, HandlerRegistry
from fleet_agent.orders.order import JOB
from fleet_agent.orders.rotation import MoveOperation
from fleet_agent.orders.router import Receipt
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.session.message import Outgoing
from support.clock import LeapingClock
from support.reserved import NOTHING_OWN
from unit.orders.cloud import Cloud
from unit.orders.conftest import LIMIT, Arriving

JOBS = "$aws/things/pump-7/jobs"


def credential(certificate: str = "a" * 64, proven: float = 0.0) -> Credential:
    return Credential(
        generation=1,
        certificate_id=certificate,
        certificate_file="c",
        private_key_file="k",
        thing_name="pump-7",
        device_configuration={"site": "Leeds"},
        endpoint="e",
        template="t",
        is_proven=True,
        proven=proven,
    )


class Device:
    """One thing; ``die`` and ``live`` are an agent that is killed and comes back.

    What is published and what is delivered goes through one queue, as it does on a network: nothing comes from within
    a call.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        handlers: Mapping[str, Handler] | None = None,
        *,
        rotation: bool = False,
        moves: Moves = NOWHERE,
    ) -> None:
        self.folder = folder
        self.clock = LeapingClock()
        self.mailbox = Mailbox(self.clock)
        self.health = Health(folder / "run", self.clock)
        self.receipts: list[Receipt] = []
        self.cloud = Cloud(JOBS, self._deliver)
        self.is_connected = False
        self._events: collections.deque[Callable[[], None]] = collections.deque()
        self._configuration = Configuration(
            endpoint="e",
            handlers=handlers or {},
            jobs=settings or Settings(enabled=True),
            rotation=Rotation(jobs=rotation),
            state_dir=str(folder),
        )
        self.credential = credential()
        self._moves = moves
        self.live()

    def live(self) -> None:
        """Begins, without a connection."""
        self.is_connected = False
        self._events.clear()
        self.shared = HandlerContext(clock=self.clock, health=self.health, reserved=NOTHING_OWN)
        self.registry = HandlerRegistry(
            self.folder / FOLDER, self._configuration.handlers, self.mailbox, self.shared
        )
        context = OrdersContext(
            settings=self._configuration,
            credential=self.credential,
            mailbox=self.mailbox,
            health=self.health,
            reserved=Reserved([]),
            subscriptions=(),
            own=(),
            order_topic=None,
            moves=self._moves,
        )
        self.move = MoveOperation(self.credential, self._moves) if self._moves.names else None
        self.jobs, self.rotation = make_jobs(
            context, self.registry, self.shared, self._publish, self.move
        )
        self.shared.reporters[JOB] = self.jobs
        self.registry.tidy()
        if self.registry.due <= self.clock.monotonic():
            self.registry.act()

    def die(self) -> None:
        """As after kill -9."""
        for handler in self.registry:
            handler._work.close()
        self._events.clear()

    def connect(self) -> None:
        self.is_connected = True
        self.jobs.connected()

    def disconnect(self) -> None:
        self.is_connected = False
        self._events.clear()
        self.jobs.disconnected()
        self.registry.disconnected()

    def _publish(self, message: Outgoing) -> None:
        if self.is_connected:
            self._events.append(lambda: self.cloud.take(message.topic, message.payload))

    def _deliver(self, topic: str, payload: bytes) -> None:
        if self.is_connected:
            self._events.append(lambda: self._hear(topic, payload))

    def _hear(self, topic: str, payload: bytes) -> None:
        self.hear(topic, payload)

    def hear(
        self, topic: str, payload: bytes, acknowledge: Callable[[], None] = lambda: None
    ) -> Receipt:
        """A message arrives."""
        receipt = self.jobs.take(Arriving(topic=topic, payload=payload, acknowledge=acknowledge))
        self.receipts.append(receipt)
        return receipt

    def turn(self, is_done: Callable[[], object]) -> None:
        limit = self.clock.monotonic() + LIMIT
        while not is_done():
            now = self.clock.monotonic()
            assert now < limit, [(job.id, job.status, job.said) for job in self.cloud.jobs]
            due = min(self.registry.due, self.jobs.due)
            if self._events:
                self._events.popleft()()
            elif now >= due:
                self.registry.act()
                self.jobs.act()
            elif isinstance(event := self.mailbox.wait(min(due, now + 0.05)), Ready):
                event.act()

    def settle(self) -> None:
        """Until nothing is said any more."""
        self.turn(lambda: not self._events)

    def does(self, document: Any, identifier: str = "j1") -> tuple[str, dict[str, str]]:
        """Gives it a job; how it ended."""
        job = self.cloud.create(identifier, document)
        self.turn(lambda: job.status not in ("QUEUED", "IN_PROGRESS"))
        self.settle()
        return job.status, job.details

    def close(self) -> None:
        self.registry.close()
        assert not self.mailbox._watched


def running(*argv: str, **more: Any) -> Handler:
    return Handler(exec=ExecHandler(argv=argv, **more))
