"""A fleet against an account's quotas, in simulated time: the agent's own decisions, a modelled cloud and clock.

What a device does next, what it makes of an answer and how long it waits come from ``fleet_agent``: ``next_step``,
``judge``, ``next_try``, ``seconds_left``, ``first_contact`` and ``delay``, imported. Modelled here: token buckets,
latency, the hook's calls, power. A peer differs in its waits alone; it is given the agent's walk, which keeps a
certificate over a failed step.
"""

import dataclasses
import functools
import heapq
import random
from collections.abc import Iterator

from fleet_agent.credentials.model import Generation, Issued, Registration, Secret
from fleet_agent.errors import AgentError, TemporaryError, UnreachableError
from fleet_agent.provisioning import machine
from fleet_agent.provisioning.aws import ANSWER_LIMIT
from fleet_agent.provisioning.model import Operation, Plan, RejectedError, Step
from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience
from fleet_cloud.rehearsal.case import Case, Client, Figures
from fleet_cloud.rehearsal.hook_calls import Hook
from fleet_cloud.rehearsal.power import BOOT
from fleet_cloud.rehearsal.quotas import Bucket, Window

EPOCH = 1_800_000_000.0  # Unix seconds at which the simulated run begins
CONNECTS_PER_SECOND = 500.0

PLAN = Plan(
    endpoint="cloud.example",
    template="fleet",
    method="csr",
    key_type="ec-p256",
    parameters={},
)


class Device:
    """What one device has on disk (``found``, ``planned``) and in memory."""

    __slots__ = (
        "began", "boots", "done", "failures", "found", "has_claim_session", "is_first_try", "is_on", "planned",
        "requests",
    )  # fmt: skip

    def __init__(self) -> None:
        self.found: Generation | None = None
        self.planned: float | None = None
        self.requests = 0
        self.began: float | None = None
        self.done: float | None = None
        self.boots = 0
        self.lose_power()

    def lose_power(self) -> None:
        """Forgets what is not on disk."""
        self.boots += 1
        self.is_on = False
        self.failures = 0
        self.has_claim_session = False
        self.is_first_try = False


class Herd:
    """One run: ``case`` under ``client``, from power-on until all have an identity."""

    def __init__(self, case: Case, client: Client, seed: int) -> None:
        self._case = case
        self._client = client
        self._random = random.Random(seed)  # noqa: S311 - the same run again, not a secret
        self._devices = [Device() for _ in range(case.devices)]
        self._events: list[tuple[float, int, Device, int]] = []
        self._count = 0
        quota = Window if case.is_strict else Bucket
        self._quotas: dict[Step, Window | Bucket] = {
            Step.ISSUE: quota(case.per_second),
            Step.REGISTER: quota(case.per_second),
        }
        self._hook = Hook(case.hook)
        self._connects = Bucket(CONNECTS_PER_SECOND)
        self._requests = self._rejected = self._certificates = self._left = 0

    def run(self) -> Figures:
        """Lets time pass."""
        self._left = len(self._devices)
        for number, device in enumerate(self._devices):
            moment = self._case.power.moment(number, self._case.bound, self._random.random())
            self._at(moment, device)
        power = sorted(self._power())
        budget = self._case.patience_for * len(self._devices)
        while self._left and self._requests < budget:
            while power and (not self._events or power[0][0] <= self._events[0][0]):
                self._switch(*heapq.heappop(power))
            now, _, device, boot = heapq.heappop(self._events)
            if boot == device.boots:
                self._wake(device, now)
        return self._figures()

    def _power(self) -> Iterator[tuple[float, int, int]]:
        for cut in self._case.cuts:
            for number in range(cut.first, len(self._devices), cut.of):
                yield (cut.at, number, 0)
                yield (cut.at + cut.seconds + self._random.uniform(0.0, BOOT), number, 1)

    def _switch(self, now: float, number: int, on: int) -> None:
        device = self._devices[number]
        if device.done is not None:
            return
        if on:
            self._at(now, device)
        else:
            device.lose_power()

    def _at(self, moment: float, device: Device) -> None:
        self._count += 1
        heapq.heappush(self._events, (moment, self._count, device, device.boots))

    # The device -------------------------------------------------------------------------------------------------------

    def _wake(self, device: Device, now: float) -> None:
        """Continues until there is something to wait for."""
        if not device.is_on:
            device.is_on = True
            if (seconds := self._spread(device, now)) > 0:
                self._at(now + seconds, device)
                return
        if device.began is None:
            device.began = now
        step = machine.next_step(device.found, PLAN)
        if step is Step.OPEN:
            device.found = Generation(
                number=1, attempt=PLAN.attempt(EPOCH + now, ""), has_key=True
            )
            device.is_first_try = True
            step = machine.next_step(device.found, PLAN)
        if step is Step.PROVE:
            self._prove(device, now)
        else:
            self._ask(device, step, now)

    def _spread(self, device: Device, now: float) -> float:
        found = device.found
        if self._client.window <= 0 or (found is not None and found.issued is not None):
            return 0.0
        wall = EPOCH + now
        device.planned = self._plan(self._client.window, device.planned, wall)
        return device.planned - wall

    def _plan(self, window: float, planned: float | None, wall: float) -> float:
        return backoff.first_contact(window, planned, wall, self._random.random())

    def _ask(self, device: Device, step: Step, now: float) -> None:
        found = device.found
        if found is None:
            raise AssertionError(step)
        if not device.has_claim_session:
            if step is Step.ISSUE and not device.is_first_try:
                left = machine.seconds_left(found.attempt, EPOCH + now)
                if left > 0:
                    self._at(now + left, device)
                    return
            if not self._connects.takes(now):
                self._fail(device, _refused_connect(), step, now)
                return
            device.has_claim_session = True
            self._at(now + self._case.latency.connect * self._random.uniform(0.5, 1.5), device)
            return
        if step is Step.ISSUE and self._client.is_agent:
            found = device.found = self._count_try(device, found, now)
        self._requests += 1
        device.requests += 1
        if not self._is_admitted(device, step, now):
            return
        device.failures = 0
        if step is Step.ISSUE:
            self._certificates += 1
            device.found = dataclasses.replace(found, issued=_issued(now))
        else:
            device.found = dataclasses.replace(found, registration=_REGISTRATION)
        latency = self._case.latency
        self._at(now + (latency.answer if step is Step.ISSUE else latency.register), device)

    def _is_admitted(self, device: Device, step: Step, now: float) -> bool:
        """Whether quotas let a request through; otherwise it has failed."""
        if not self._quotas[step].takes(now):
            self._rejected += 1
            if self._case.is_silent:
                self._fail(device, _no_answer(step), step, now + ANSWER_LIMIT)
            else:
                self._fail(device, _rejected(step), step, now)
            return False
        if step is Step.REGISTER and not self._hook.answers(now):
            self._rejected += 1
            self._fail(device, _HOOK_FAILED, step, now)
            return False
        return True

    def _count_try(self, device: Device, found: Generation, now: float) -> Generation:
        if device.is_first_try:
            device.is_first_try = False
            return found
        attempt = machine.next_try(found.attempt, EPOCH + now, self._random.random())
        return dataclasses.replace(found, attempt=attempt)

    def _prove(self, device: Device, now: float) -> None:
        if not self._connects.takes(now):
            self._fail(device, _refused_connect(), Step.PROVE, now)
            return
        device.done = now + self._case.latency.connect + self._case.latency.answer
        self._left -= 1

    def _fail(
        self, device: Device, failure: RejectedError | AgentError, step: Step, now: float
    ) -> None:
        device.has_claim_session = False
        found = device.found
        ownership_token_age = (
            EPOCH + now - found.issued.received if found and found.issued else 0.0
        )
        verdict = machine.judge(failure, step, 0.0, ownership_token_age)
        if verdict.patience is None:
            raise AssertionError(verdict)
        if verdict.drop_certificate and found is not None:
            device.found = dataclasses.replace(found, issued=None)
        device.failures += 1
        self._wait(device, verdict.error, verdict.patience, now)

    def _wait(self, device: Device, _error: AgentError, patience: Patience, now: float) -> None:
        self._at(
            now + self._client.delay(patience, device.failures, self._random.random()), device
        )

    def _figures(self) -> Figures:
        done = [device for device in self._devices if device.done is not None]
        return Figures(
            case=self._case,
            provisioned=len(done),
            requests=self._requests,
            rejected=self._rejected,
            certificates=self._certificates,
            hook_calls=self._hook.calls,
            hook_failed=self._hook.failed,
            requests_of_each=[device.requests for device in self._devices],
            done=[device.done or 0.0 for device in done],
            own=[(device.done or 0.0) - (device.began or 0.0) for device in done],
        )


# The cloud's answers --------------------------------------------------------------------------------------------------

_OPERATIONS = {Step.ISSUE: Operation.CREATE_FROM_CSR, Step.REGISTER: Operation.REGISTER}
_REGISTRATION = Registration(thing_name="thing", device_configuration={})
_TOKEN = Secret("token")
_HOOK_FAILED = RejectedError(Operation.REGISTER, 400, "InvocationError", "The hook failed")


@functools.cache
def _rejected(step: Step) -> RejectedError:
    return RejectedError(_OPERATIONS[step], 429, "Throttling", "Rate exceeded")


@functools.cache
def _no_answer(step: Step) -> UnreachableError:
    return UnreachableError(_OPERATIONS[step].value, remedy="", code="answer-missing")


@functools.cache
def _refused_connect() -> TemporaryError:
    return TemporaryError("CONNACK 151", remedy="", code="server-busy")


def _issued(now: float) -> Issued:
    return Issued(certificate_id="c", ownership_token=_TOKEN, received=EPOCH + now)
