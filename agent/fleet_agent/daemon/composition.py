"""The daemon's long part: the real queue, sources, handlers and session, joined; and joined anew after SIGHUP."""

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fleet_agent import files, log, notify
from fleet_agent.app import clone, retire, rotate
from fleet_agent.app.provision import jitter, stable
from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.config.subscriptions import Presence
from fleet_agent.credentials.model import Credential
from fleet_agent.credentials.store import Store
from fleet_agent.daemon.loop import Reload, Rotate, TelemetryLoop
from fleet_agent.daemon.token_watch import Comeback, StartAfresh
from fleet_agent.errors import AgentError, DeviceError
from fleet_agent.health import Health, Problem, runtime_dir
from fleet_agent.mailbox import Mailbox, StopRequested
from fleet_agent.programs.apart import apart
from fleet_agent.provisioning.report import Report as ProvisioningReport
from fleet_agent.session.connectivity import OFFLINE
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import route
from fleet_agent.session.subscriptions import Subscriptions
from fleet_agent.telemetry import orders, queue
from fleet_agent.telemetry.commands.handler import Shared
from fleet_agent.telemetry.commands.router import Commands
from fleet_agent.telemetry.orders import Orders
from fleet_agent.telemetry.publisher import Publisher
from fleet_agent.telemetry.queue import Queue
from fleet_agent.telemetry.reading import Source
from fleet_agent.telemetry.refusals import Refusals
from fleet_agent.telemetry.report import Report
from fleet_agent.telemetry.sources import build
from fleet_agent.telemetry.topics import Topics

_log = logging.getLogger(__name__)

# AWS takes one connect a second of a client id: `run` may come right after the proof, or after a reload.
_CONNECT_INTERVAL = 1.0

_NOT_RELOADED = "configuration"
_NOT_ROTATED = "rotation-failed"


def carry(
    settings: Settings,
    load: Callable[[], Settings],
    store: Store,
    mailbox: Mailbox,
    health: Health,
    report: ProvisioningReport,
) -> None:
    """Carry telemetry until asked to stop; read configuration and credential anew when asked to.

    Returns when the credential was replaced: begin afresh, without what made it in memory.

    Raises:
        DeviceError: The configuration does not fit this device.
        StateDirectoryError: The queue can be neither opened nor made.
        StopRequested: Asked to end, and everything is closed.
    """
    former = settings
    memory = _Memory(starts=retire.Starts(Path(settings.state_dir), SystemClock(), health))
    credential = store.current()
    while credential is not None:
        log.about(certificate_id=credential.certificate_id, thing=credential.thing_name)
        health.certificate_id = credential.certificate_id
        folder = runtime_dir(Path(settings.state_dir), settings.runtime_dir)
        _show_identity(folder, store, credential)
        if problem := _look_for_copy(Path(settings.state_dir), credential):
            _log.warning("%s %s", problem.title, problem.remedy)
            health.raise_problem(problem)
        try:
            _Years(settings, credential, store, mailbox, health, memory).pass_by()
        except Reload:
            mailbox.sleep(
                _CONNECT_INTERVAL
            )  # before reading: another request meanwhile is dropped
            former, settings = settings, _reloaded(settings, load, health)
            credential = store.current()
        except Rotate:
            memory.failure = rotate.replace_within(settings, store, mailbox, SystemClock(), report)
            if memory.failure is None:
                return
            _tell_failed(health, memory.failure)
            mailbox.sleep(_CONNECT_INTERVAL)  # the rotation's session had the same client id
            credential = store.current()
        except StartAfresh:
            return
        except DeviceError as error:
            if former is settings:
                raise
            _keep(health, error)
            settings = former


def _look_for_copy(state_dir: Path, credential: Credential) -> Problem | None:
    return apart(lambda: clone.look(state_dir, credential))


def _reloaded(settings: Settings, load: Callable[[], Settings], health: Health) -> Settings:
    """The configuration as it is now; the one before when that has errors, which are a problem then."""
    health.clear_problems()
    try:
        found = load()
        if (found.state_dir, found.runtime_dir) != (settings.state_dir, settings.runtime_dir):
            raise DeviceError(
                "state_dir and runtime_dir cannot change while the agent runs.",
                remedy="Restart it: systemctl restart fleet-agent",
                code="configuration",
            )
    except AgentError as error:
        _keep(health, error)
        return settings
    _log.info("configuration and credential read again")
    return found


def _tell_failed(health: Health, failure: AgentError) -> None:
    title = f"The credential was not replaced, the one before goes on. {failure.title}"
    health.tell_rotation(failure)
    health.raise_problem(Problem(code=_NOT_ROTATED, title=title, remedy=failure.remedy))


def _keep(health: Health, error: AgentError) -> None:
    title = f"The configuration was not taken, the one before goes on. {error.title}"
    _log.error("%s %s", title, error.remedy)
    health.raise_problem(Problem(code=_NOT_RELOADED, title=title, remedy=error.remedy))


@dataclasses.dataclass(kw_only=True)
class _Memory:
    """What this process remembers from one composition to the next: why the last rotation failed, and its own start."""

    starts: retire.Starts
    failure: AgentError | None = None


class _Years:
    """One composition, from the opening of the queue to its closing."""

    def __init__(
        self,
        settings: Settings,
        credential: Credential,
        store: Store,
        mailbox: Mailbox,
        health: Health,
        memory: _Memory,
    ) -> None:
        self._memory = memory
        self._settings = settings
        self._credential = credential
        self._store = store
        self._mailbox = mailbox
        self._health = health
        self._clock = SystemClock()
        self._state_dir = Path(settings.state_dir)
        wanted = settings.provisioning
        self._topics = Topics(credential, wanted.parameters if wanted else {})

    def pass_by(self) -> None:
        """Carry telemetry.

        Raises:
            DeviceError: The configuration does not fit this device; nothing was begun.
            StopRequested: Asked to end, and everything is closed.
            Reload: Asked to begin anew, and everything is closed.
            Rotate: Asked for another credential, and everything is closed.
        """
        filters = [
            (self._topics.fill(item.topic), item.qos) for item in self._settings.subscriptions
        ]
        rotation = self._settings.rotation
        order_topic = rotation.order_topic and self._topics.fill(rotation.order_topic)
        ordering = orders.wanted(self._credential, order_topic, takes_jobs=rotation.jobs)
        presence = self._presence()
        with_queue = Queue(
            self._state_dir / queue.NAME, self._settings.telemetry.queue, self._clock
        )
        try:
            session = self._session(presence)
            subscriptions = Subscriptions(
                session, [*ordering, *filters], self._clock, self._health, jitter
            )
            names = [name for name, _ in filters]
            loop = self._loop(session, subscriptions, with_queue, presence, names, order_topic)
            self._await_connect()
            try:
                loop.run()
            except StopRequested:
                notify.stopping()
                self._health.doing("stopping")
                loop.finish()
                raise
            except (Reload, Rotate):
                loop.finish()
                raise
            finally:
                session.close()
                self._health.doing("stopped")
        finally:
            with_queue.close()

    def _loop(
        self,
        session: Session,
        subscriptions: Subscriptions,
        with_queue: Queue,
        presence: Presence | None,
        filters: Sequence[str],
        order_topic: str | None,
    ) -> TelemetryLoop:
        settings, health = self._settings, self._health
        publisher = Publisher(with_queue, settings.telemetry, self._clock, Refusals(health).tell)
        self._memory.starts.watch(settings.claim, publisher.counts)
        commands = Commands(
            self._state_dir / "commands",
            self._mailbox,
            Shared(answer=_answering(publisher), clock=self._clock, health=health),
        )
        commands.configure(list(zip(filters, settings.subscriptions, strict=True)))
        metrics = settings.telemetry.prometheus_file
        report = Report(
            traffic=health.traffic,
            publisher=publisher,
            queue=with_queue,
            commands=commands,
            clock=self._clock,
            prometheus=Path(metrics) if metrics else None,
        )
        return TelemetryLoop(
            session=session,
            subscriptions=subscriptions,
            publisher=publisher,
            queue=with_queue,
            sources=self._sources(publisher),
            commands=commands,
            orders=Orders(
                credential=self._credential,
                topic=order_topic,
                takes_jobs=settings.rotation.jobs,
                failure=self._memory.failure,
                send=publisher.answer,
                clock=self._clock,
            ),
            presence=presence,
            mailbox=self._mailbox,
            clock=self._clock,
            health=health,
            report=report,
            chores=[
                rotate.Former(self._store, self._credential, self._clock),
                self._memory.starts,
                Comeback(
                    session.pair.private_key, lambda: health.has_problem(OFFLINE), self._clock
                ),
            ],
        )

    def _sources(self, publisher: Publisher) -> list[Source]:
        place = build.Place(
            topics=self._topics,
            intake=publisher,
            mailbox=self._mailbox,
            clock=self._clock,
            health=self._health,
            state_dir=self._state_dir,
            runtime_dir=runtime_dir(self._state_dir, self._settings.runtime_dir),
        )
        return build.build(self._settings.telemetry, place)

    def _session(self, presence: Presence | None) -> Session:
        wanted = self._settings.connection
        will = None
        if presence:
            will = Outgoing(
                topic=presence.topic, payload=presence.offline.encode(), retain=presence.retain
            )
        return Session(
            route(self._settings),
            self._store.key_pair(self._credential.generation),
            self._credential.client_id,
            self._mailbox,
            is_thing=True,
            upkeep=Upkeep(
                keep_alive=round(wanted.keep_alive),
                expiry=round(wanted.expiry),
                will=will,
                flow_control=False,  # the publisher keeps to AWS's limits itself
            ),
        )

    def _presence(self) -> Presence | None:
        wanted = self._settings.connection.presence
        if wanted is None:
            return None
        return Presence(
            topic=self._topics.fill(wanted.topic),
            online=wanted.online,
            offline=wanted.offline,
            retain=wanted.retain,
        )

    def _await_connect(self) -> None:
        if self._credential.proven is not None:
            since = self._clock.wall() - self._credential.proven
            if 0 <= since < _CONNECT_INTERVAL:
                self._mailbox.sleep(_CONNECT_INTERVAL - since)


def _answering(publisher: Publisher) -> Callable[..., None]:
    def answer(
        topic: str,
        payload: bytes,
        *,
        correlation_data: bytes | None,
        content_type: str,
        user_properties: tuple[tuple[str, str], ...],
    ) -> None:
        publisher.answer(
            Outgoing(
                topic=topic,
                payload=payload,
                content_type=content_type,
                properties=user_properties,
                correlation_data=correlation_data,
            )
        )

    return answer


def _show_identity(folder: Path, store: Store, credential: Credential) -> None:
    """Tell other programs who this device is: ``identity.json``, readable by all, no secret."""
    identity: Mapping[str, object] = {
        "schema": 1,
        "thing_name": credential.thing_name,
        "certificate_id": credential.certificate_id,
        "certificate_file": stable(store, credential).certificate_file,
        "device_configuration": dict(credential.device_configuration),
    }
    data = json.dumps(identity, indent=1).encode() + b"\n"
    files.write(folder / "identity.json", data, 0o644, durable=False)
