"""One virtual device: the agent's own spread, machine, runner, proof and waits, in a thread, noted in a journal.

What it does not have of an agent: the process, the service, and the checks of its disk. What needs cryptography is done
in this process, since a program for each of a thousand devices would measure this machine.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fleet_agent.clock import SystemClock, jitter
from fleet_agent.config.topics import topic_templates
from fleet_agent.credentials.model import Credential, KeyPair, Secret
from fleet_agent.errors import AgentError
from fleet_agent.identity import own_session, trial
from fleet_agent.identity.configured import open_store, read_claim, require_section
from fleet_agent.process.mailbox import Mailbox, TimeUp
from fleet_agent.provisioning import spread
from fleet_agent.provisioning.answers import Certificate
from fleet_agent.provisioning.aws import ProvisioningClient
from fleet_agent.provisioning.dependencies import Dependencies, ReportWaiting, here
from fleet_agent.provisioning.model import Operation, Plan, RejectedError
from fleet_agent.provisioning.proof import Proof, Proven
from fleet_agent.provisioning.report import Milestone
from fleet_agent.provisioning.runner import Runner
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import route
from fleet_cloud.rehearsal.journal import Journal, Life, Refusal

if TYPE_CHECKING:
    from fleet_agent.config.settings import Settings


class Made(Protocol):
    """Records what was created in the cloud, to be deleted again."""

    def certificate(self, identifier: str) -> None:
        """A certificate was issued."""

    def thing(self, name: str, identifier: str) -> None:
        """A thing has it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RehearsalContext:
    """What all devices of a rehearsal share.

    Args:
        journal: Where everything is noted.
        made: Records certificates and things.
        now: Seconds since the rehearsal began.
        began: The same moment, by the monotonic clock.
    """

    journal: Journal
    made: Made
    now: Callable[[], float]
    began: float


class Device:
    """One device, with a folder of its own that outlives power cuts.

    Args:
        settings: Its configuration.
        life: What is noted of it.
        rehearsal: What all devices share.
    """

    def __init__(self, settings: "Settings", life: Life, rehearsal: RehearsalContext) -> None:
        self._settings = settings
        self._life = life
        self._rehearsal = rehearsal
        self._clock = SystemClock()
        self._mailbox = Mailbox(self._clock)
        self._session: Session | None = None
        self.certificate = ""  # the id of the last that was issued

    def live(self, until: float) -> bool:
        """Goes from power-on to an identity; returns whether it got one before ``until``, in seconds of the rehearsal.

        Then the power is off: what is on disk stays.
        """
        mailbox = self._mailbox = Mailbox(self._clock)
        mailbox.limit(self._rehearsal.began + until)
        state_dir = Path(self._settings.state_dir)
        try:
            wanted = require_section(self._settings.provisioning, "provisioning")
            store = open_store(self._settings)
            if spread.is_due(store.pending()):
                spread.await_turn(wanted.spread, state_dir, self._clock, mailbox)
            if self._life.contact is None:
                self._life.contact = self._rehearsal.now()
            self._session = self._runner(mailbox).provision().session
        except TimeUp:
            return False
        except AgentError as error:
            if self._rehearsal.now() < until:
                self.note("device", error.code)
            return False
        self._life.done = self._rehearsal.now()
        return True

    def stop(self) -> None:
        """Interrupts what the device is doing; safe from any thread."""
        self._mailbox.limit(self._clock.monotonic())
        self._mailbox.put(object())

    def close(self) -> None:
        """Disconnects."""
        if self._session is not None:
            with contextlib.suppress(AgentError):
                self._session.close()

    def note(self, request: str, said: str) -> None:
        """Notes that something did not work."""
        refusal = Refusal(at=round(self._rehearsal.now(), 3), request=request, said=said)
        self._rehearsal.journal.refused(self._life, refusal)

    def _runner(self, mailbox: Mailbox) -> Runner:
        settings, clock = self._settings, self._clock
        wanted = require_section(settings.provisioning, "provisioning")
        plan = Plan(
            endpoint=settings.endpoint,
            template=wanted.template,
            method=wanted.method,
            key_type=wanted.key.type,
            parameters={name: str(value) for name, value in wanted.parameters.items()},
        )
        proof = Proof(
            lambda found, pair: own_session.open_session(settings, found, pair, mailbox),
            mailbox,
            clock,
            trial.trial(settings, clock),
            plan.parameters.get,
        )
        where = route(settings)
        noting = _Noting(self, self._life, self._rehearsal, proof.prove)
        needs = Dependencies(
            store=open_store(settings),
            clock=clock,
            call=here,
            sleep=mailbox.sleep,
            jitter=jitter,
            report=noting,
            read_pair=lambda: read_claim(require_section(settings.claim, "claim"), settings),
            make_api=lambda pair: noting.api(
                ProvisioningClient(where, pair, plan, mailbox, clock)
            ),
            prove=noting.prove,
            topics=topic_templates(settings),
            outlasts_refusal=True,
        )
        return Runner(plan, needs)


class _Noting:
    """The report of a walk, and its proof, noted."""

    def __init__(
        self,
        device: Device,
        life: Life,
        rehearsal: RehearsalContext,
        prove: Callable[[Credential, KeyPair, ReportWaiting], Proven],
    ) -> None:
        self._device, self._life, self._rehearsal, self._prove = device, life, rehearsal, prove

    def api(self, client: ProvisioningClient) -> "_NotingApi":
        return _NotingApi(client, self._device, self._life, self._rehearsal)

    def prove(self, credential: Credential, pair: KeyPair, waiting: ReportWaiting) -> Proven:
        began = self._rehearsal.now()
        try:
            proven = self._prove(credential, pair, waiting)
        except AgentError as error:
            self._device.note("prove", error.code)
            raise
        self._life.steps["prove"] = round(self._rehearsal.now() - began, 4)
        return proven

    def step(self, name: Milestone, detail: str = "") -> None:
        """Requests are noted where they are made."""

    def waiting(self, why: str, seconds: float, problem: AgentError | None = None) -> None:
        """What failed is noted where it failed."""

    def problem(self, problem: AgentError) -> None:
        self._device.note("policy", problem.code)


class _NotingApi:
    """The provisioning API, each call noted: how long it took, or what was said."""

    def __init__(
        self, client: ProvisioningClient, device: Device, life: Life, rehearsal: RehearsalContext
    ) -> None:
        self._client, self._device, self._life, self._rehearsal = client, device, life, rehearsal
        self._began = 0.0

    @property
    def is_open(self) -> bool:
        return self._client.is_open

    @is_open.setter
    def is_open(self, value: bool) -> None:
        self._client.is_open = value

    def start(self) -> None:
        self._began = self._rehearsal.now()
        self._client.start()

    def wait_open(self) -> None:
        try:
            self._client.wait_open()
        except AgentError as error:
            self._device.note("connect", error.code)
            raise
        self._life.steps["connect"] = round(self._rehearsal.now() - self._began, 4)

    def create_certificate(self, csr: str | None) -> Certificate:
        operation = Operation.CREATE_FROM_CSR if csr else Operation.CREATE_KEYS
        with self._noted(operation, "certificate"):
            found = self._client.create_certificate(csr)
        self._device.certificate = found.certificate_id
        self._rehearsal.made.certificate(found.certificate_id)
        return found

    def register_thing(
        self, ownership_token: Secret, parameters: Mapping[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        with self._noted(Operation.REGISTER, "register"):
            found = self._client.register_thing(ownership_token, parameters)
        if found[0] is not None:
            self._rehearsal.made.thing(found[0], self._device.certificate)
        return found

    def close(self) -> None:
        self._client.close()

    @contextlib.contextmanager
    def _noted(self, operation: Operation, step: str) -> Iterator[None]:
        began = self._rehearsal.now()
        self._life.requests += 1
        try:
            yield
        except RejectedError as rejected:
            self._device.note(operation.value, str(rejected.status_code))
            raise
        except AgentError as error:
            self._device.note(operation.value, error.code)
            raise
        self._life.steps[step] = round(self._rehearsal.now() - began, 4)
