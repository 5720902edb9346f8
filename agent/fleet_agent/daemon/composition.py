"""Composes the daemon: builds the real queue, sources, handlers and session, and the loop that runs them."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.clock import jitter
from fleet_agent.config.paths import reserved, runtime_dir
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.daemon.clone_watch import CloneWatch
from fleet_agent.daemon.endings import Ending
from fleet_agent.daemon.hardware_token_watch import HardwareTokenWatch
from fleet_agent.daemon.loop import Loop
from fleet_agent.daemon.orders import make_orders
from fleet_agent.daemon.orders_context import OrdersContext
from fleet_agent.daemon.own_topics import OwnTopics
from fleet_agent.daemon.refusal_watch import RefusalWatch
from fleet_agent.daemon.renewal import Renewal
from fleet_agent.daemon.requests import Requests
from fleet_agent.daemon.serving import Actor, Serving
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.daemon.traffic_report import TrafficReport
from fleet_agent.daemon.unfilled_topics import UnfilledTopics
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.identity import claim_removal, configured, own_session, rotate
from fleet_agent.orders.suspects import Suspects
from fleet_agent.process import log, notify
from fleet_agent.process.listeners import Listeners
from fleet_agent.process.mailbox import Mailbox, RotateRequested
from fleet_agent.programs.worker import Worker
from fleet_agent.provisioning.report import Report
from fleet_agent.record import record
from fleet_agent.session.backoff import CONNECT_INTERVAL
from fleet_agent.session.connectivity import Connectivity
from fleet_agent.session.filter_memory import FilterMemory
from fleet_agent.session.mqtt import Session
from fleet_agent.session.subscriptions import Subscriptions
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import NAME as QUEUE_FILE
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Source
from fleet_agent.telemetry.refusals import Refusals
from fleet_agent.telemetry.sources import build

if TYPE_CHECKING:
    from fleet_agent.vending.service import Service

# Shown until the new image of the process shows something of its own: the process id stays the same.
_RESTARTING = "restarting in place"


@record
class ProcessContext:
    """Objects that live as long as the process, whatever the configuration."""

    read: Callable[[], StartOptions]
    store: Store
    mailbox: Mailbox
    health: Health
    report: Report
    worker: Worker
    listeners: Listeners
    follows: Ending | None = None  # how the image before this one ended; None: this is the first


class Composition:
    """A configuration in service, from the opening of the queue to its closing.

    Args:
        settings: The configuration.
        process: What was there before the configuration.
    """

    def __init__(self, settings: Settings, process: ProcessContext) -> None:
        self._settings = settings
        self._process = process
        self._health = process.health
        self._clock = process.health.clock
        self._state_dir = Path(settings.state_dir)
        self._runtime_dir = runtime_dir(self._state_dir, settings.runtime_dir)
        self._reserved = reserved(settings, os.environ)
        self._suspects = Suspects()
        self._unfilled = UnfilledTopics(process.health)
        self._renewal = Renewal(
            settings=settings,
            store=process.store,
            ask=lambda: process.mailbox.put(RotateRequested()),
            clock=self._clock,
            health=process.health,
            jitter=jitter,
        )
        # When a new image of the process may connect (monotonic seconds).
        self.not_before = 0.0
        self.reloaded: StartOptions | None = None

    def run(self, credential: Credential, session: Session) -> Ending:
        """Carries readings up and orders down until there is a reason to end.

        Args:
            credential: The current one.
            session: Its session: started, and perhaps connected.

        Raises:
            StateDirectoryError: The queue can be neither opened nor made.
        """
        queue = Queue(self._state_dir / QUEUE_FILE, self._settings.telemetry.queue, self._clock)
        try:
            loop = self._loop(queue, credential, session)
            ending = loop.run()
            if ending is Ending.STOP:
                notify.stopping()
            self._health.set_activity("stopping" if ending is Ending.STOP else _RESTARTING)
            self.reloaded = loop.reloaded
            loop.finish()
            self.not_before = loop.connected_at + CONNECT_INTERVAL
            if ending is Ending.STOP:
                self._health.set_activity("stopped")
            return ending
        finally:
            queue.close()

    def _loop(self, queue: Queue, credential: Credential, session: Session) -> Loop:
        settings, health, process = self._settings, self._health, self._process
        publisher = Publisher(
            queue, settings.telemetry, self._clock, Refusals(health), settings.endpoint
        )
        topics = OwnTopics(settings, credential, self._unfilled)
        orders = make_orders(self._orders_context(credential, topics), publisher)
        sources = self._sources(publisher, topics)
        vending = self._vending()
        sources += vending
        process.listeners.keep_only(
            *build.socket_paths(sources), *(service.port for service in vending)
        )
        metrics = settings.telemetry.prometheus_file
        return Loop(
            serving=self.put_in_service(credential, session),
            suspects=self._suspects,
            publisher=publisher,
            queue=queue,
            sources=sources,
            orders=orders,
            requests=Requests(
                settings=settings,
                read=process.read,
                store=process.store,
                mailbox=process.mailbox,
                orders=orders,
                health=health,
                report=process.report,
                worker=process.worker,
                put_in_service=self.put_in_service,
            ),
            mailbox=process.mailbox,
            clock=self._clock,
            health=health,
            traffic_report=TrafficReport(
                traffic=health.traffic,
                publisher=publisher,
                queue=queue,
                orders=orders,
                clock=self._clock,
                prometheus=Path(metrics) if metrics else None,
                reserved=self._reserved,
            ),
            chores=[self._starts(publisher), *self._unserved(sources)],
        )

    def _vending(self) -> "list[Service]":
        """Builds the service for AWS credentials, which is imported only if configured."""
        wanted = self._settings.credentials
        if wanted is None:
            return []
        from fleet_agent.vending.service import Service

        return [
            Service(
                self._settings,
                wanted,
                source=functools.partial(configured.in_service, self._process.store),
                mailbox=self._process.mailbox,
                clock=self._clock,
                health=self._health,
                listeners=self._process.listeners,
                runtime_dir=self._runtime_dir,
            )
        ]

    def _starts(self, publisher: Publisher) -> claim_removal.Starts:
        """Counts this start, unless the process only re-executed itself."""
        starts = claim_removal.Starts(self._state_dir, self._clock, self._health)
        if self._process.follows is None:
            starts.watch(self._settings.claim, publisher.counts)
        return starts

    # What depends on the credential -----------------------------------------------------------------------------------

    def put_in_service(self, credential: Credential, session: Session | None) -> Serving:
        """Puts a credential in service, with its session, which is started; None: one is made and started.

        Raises:
            DeviceError: The session cannot be made.
        """
        store, health = self._process.store, self._health
        log.about(certificate_id=credential.certificate_id, thing=credential.thing_name)
        health.certificate_id = credential.certificate_id
        health.show_identity(
            {
                "schema": 1,
                "thing_name": credential.thing_name,
                "certificate_id": credential.certificate_id,
                "certificate_file": configured.with_stable_paths(
                    store, credential
                ).certificate_file,
                "device_configuration": dict(credential.device_configuration),
            }
        )
        if session is None:
            session = own_session.start(self._settings, credential, store, self._process.mailbox)
        watch = RefusalWatch(
            self._settings,
            store,
            credential,
            session,
            self._process.mailbox,
            health,
        )
        topics = OwnTopics(self._settings, credential, self._unfilled)
        memory = FilterMemory(self._state_dir)
        connectivity = Connectivity(session, self._clock, health, self._on_stable, watcher=watch)
        self._renewal.serve(
            credential, session.pair.certificate, lambda: connectivity.is_connected
        )
        return Serving(
            credential=credential,
            session=session,
            subscriptions=Subscriptions(
                session, topics.filters(), self._clock, health, jitter, memory
            ),
            connectivity=connectivity,
            presence=topics.presence(),
            chores=[
                self._renewal,
                rotate.ReplacedCredential(store, credential, self._clock),
                HardwareTokenWatch(
                    session.pair.private_key, lambda: health.has(table.OFFLINE), self._clock
                ),
                watch,
                CloneWatch(self._state_dir, credential, self._process.worker, self._clock, health),
            ],
        )

    def _on_stable(self) -> None:
        self._suspects.forget()
        self._health.clear(table.MESSAGE_SET_ASIDE)

    # Parts ------------------------------------------------------------------------------------------------------------

    def _orders_context(self, credential: Credential, topics: OwnTopics) -> OrdersContext:
        return OrdersContext(
            settings=self._settings,
            credential=credential,
            mailbox=self._process.mailbox,
            health=self._health,
            reserved=self._reserved,
            subscriptions=topics.subscriptions(),
            own=topics.all(),
            order_topic=topics.order_topic(),
            moves=topics.moves(),
        )

    def _unserved(self, sources: Sequence[Source]) -> Iterator[Actor]:
        """Answers on sockets that systemd holds, but no configured source uses."""
        for path in set(self._process.listeners.given()) - set(build.socket_paths(sources)):
            from fleet_agent.telemetry.sources.unserved import Unserved

            listener = self._process.listeners.listen(path)
            yield Unserved(listener, self._process.mailbox, self._clock)

    def _sources(self, publisher: Publisher, topics: OwnTopics) -> list[Source]:
        return build.build(
            self._settings.telemetry,
            build.SourcesContext(
                fill=topics.fill,
                topics=topics.values,
                intake=publisher,
                mailbox=self._process.mailbox,
                clock=self._clock,
                health=self._health,
                state_dir=self._state_dir,
                runtime_dir=self._runtime_dir,
                listeners=self._process.listeners,
                reserved=self._reserved,
            ),
        )
