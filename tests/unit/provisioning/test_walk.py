"""The walk under everything that can happen to it, against a model of AWS; and machines that walk wrongly, caught."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fleet_agent.credentials.model import Event, Generation, Issued, Registration, Secret
from fleet_agent.errors import (
    AgentError,
    Exit,
    RefusedError,
    StateDirectoryError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.provisioning import machine
from fleet_agent.provisioning.model import Operation, Plan, RejectedError, Step, Verdict
from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience
from support.provisioning import GIVEN_CSR, TOKEN_LIFE, Cloud, Disk, make_plan

PLANS = (
    make_plan("csr"),
    make_plan("keys"),
    make_plan("csr", GIVEN_CSR, has_csr_key=True),
    make_plan("csr", GIVEN_CSR),
)
NAMED = frozenset({Event.UNRESOLVED, Event.DROPPED, Event.CURRENT, Event.RETIRED})


class KilledError(Exception):
    """The power went."""


class Machine:
    """The one under test; wrong ones override a method."""

    def next_step(self, found: Generation | None, plan: Plan) -> Step:
        return machine.next_step(found, plan)

    def judge(
        self, failure: RejectedError | AgentError, step: Step, refused_for: float, token_age: float
    ) -> Verdict:
        return machine.judge(failure, step, refused_for, token_age)


class Walk(RuleBasedStateMachine):
    """A device that is killed, refused, ignored and misled, one step at a time."""

    machine = Machine()
    disk_type = Disk

    def __init__(self) -> None:
        super().__init__()
        self.now = 1.8e9
        self.clock_error = 0.0  # of the device's clock
        self.disk = self.disk_type()
        self.found: Generation | None = None
        self.is_running = False
        self.is_wanted = True  # provisioning is asked for: at first, and by --force
        self.is_kept = False
        self.failures = 0
        self.allowed = 1  # certificates: one a provisioning, and one an interruption

    @initialize(
        plan=some.sampled_from(PLANS),
        outlasts_refusal=some.booleans(),
        is_idempotent=some.booleans(),
        says_token=some.booleans(),
    )
    def begin(
        self, plan: Plan, outlasts_refusal: bool, is_idempotent: bool, says_token: bool
    ) -> None:
        self.plan = plan
        self.outlasts_refusal = outlasts_refusal
        self.cloud = Cloud(is_idempotent=is_idempotent, says_token=says_token)

    # What happens -----------------------------------------------------------------------------------------------------

    @rule(steps=some.integers(1, 5))
    def all_is_well(self, steps: int) -> None:
        for _ in range(steps):
            self.act("well")

    @rule(
        happens=some.sampled_from(("well", "request lost", "answer lost", "foreign", "disk full"))
    )
    def something_is_lost(self, happens: str) -> None:
        self.act(happens)

    @rule(
        status=some.sampled_from((None, 200, 400, 403, 404, 409, 429, 500, 503)),
        text=some.sampled_from(("", "Parameter SerialNumber is missing", "ownership TOKEN")),
    )
    def aws_refuses(self, status: int | None, text: str) -> None:
        self.act("refused", (status, text))

    @rule(facts=some.integers(0, 6), happens=some.sampled_from(("well", "answer lost", "refused")))
    def killed_after_so_many_facts(self, facts: int, happens: str) -> None:
        self.act(happens, (400, "token"), kill_after=facts)

    @rule(seconds=some.sampled_from((1.0, 60.0, 1800.0, 4000.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.allowed += seconds > TOKEN_LIFE / 2

    @rule(seconds=some.sampled_from((-1e8, 1e8)))
    def the_clock_steps(self, seconds: float) -> None:
        self.clock_error = max(0.0, self.clock_error + seconds)
        self.allowed += 1

    @rule()
    def killed_between_steps(self) -> None:
        self.is_running = False

    @precondition(lambda self: self.is_wanted)
    @rule(kill_after=some.none() | some.integers(0, 4))
    def restart(self, kill_after: int | None) -> None:
        self.allowed += 1
        self.is_kept = False
        self.is_running, self.found = True, None
        self.act("well", kill_after=kill_after)

    @precondition(lambda self: not self.is_wanted)
    @rule()
    def force(self) -> None:
        self.is_wanted = True
        self.allowed += 1

    @precondition(lambda self: self.is_kept)
    @rule()
    def bring_the_key(self) -> None:
        self.is_kept = False
        self.plan = PLANS[2]

    # One step ---------------------------------------------------------------------------------------------------------

    def act(
        self,
        happens: str,
        refusal: tuple[int | None, str] = (None, ""),
        kill_after: int | None = None,
    ) -> None:
        if not self.is_wanted or self.is_kept:
            return
        if not self.is_running:
            self.is_running, self.failures = True, 0
            self.found = self.disk.pending()
            if self.found is not None:
                assert machine.difference(self.found.attempt, self.plan) is None
                assert machine.damage(self.found) is None
        self.kill_after = kill_after
        step = self.machine.next_step(self.found, self.plan)
        if step is Step.KEPT:
            self.is_kept, self.is_running = True, False
            return
        try:
            self.do(step, happens, refusal)
        except KilledError:
            self.is_running = False
        except (RejectedError, AgentError) as failure:
            try:
                self.take(failure, step)
            except KilledError:
                self.is_running = False
        else:
            self.failures = 0
            self.found = self.disk.pending()

    def take(self, failure: RejectedError | AgentError, step: Step) -> None:
        """What the runner does about a failure."""
        if self.found is not None:
            self.found = self.disk.pending()
        issued = self.found.issued if self.found else None
        age = self.now + self.clock_error - issued.received if issued else 0.0
        verdict = self.machine.judge(failure, step, 60.0, age)
        assert verdict.error.code
        assert verdict.error.remedy
        assert verdict.error.exit_status in Exit
        if verdict.drop_certificate:
            self.keep(self.disk.drop_certificate())
            self.found = self.disk.pending()
        if verdict.patience is None or (
            verdict.patience is Patience.REFUSED and not self.outlasts_refusal
        ):
            self.is_running = False  # a named final state, until somebody starts it again
            return
        self.failures += 1
        self.now += backoff.delay(verdict.patience, self.failures, 0.5)

    def do(self, step: Step, happens: str, refusal: tuple[int | None, str]) -> None:
        if happens == "disk full" and step is not Step.PROMOTE:
            raise StateDirectoryError("Full.", remedy="Free some space.", code="state-enospc")
        if step is Step.OPEN:
            self.keep(self.disk.open(self.plan.attempt(self.now)))
        elif step is Step.KEY:
            self.keep(self.disk.keep_key("its key" if self.plan.csr else f"key at {self.now}"))
        elif step is Step.ISSUE:
            self.issue(happens, refusal)
        elif step is Step.REGISTER:
            self.register(happens, refusal)
        elif step is Step.PROVE:
            self.prove(happens)
        else:
            self.keep(self.disk.promote())
            self.is_running = False

    def issue(self, happens: str, refusal: tuple[int | None, str]) -> None:
        found = self.there()
        counted = dataclasses.replace(found.attempt, tries=found.attempt.tries + 1)
        self.keep(self.disk.keep_attempt(counted))
        self.check_nothing_live_is_unnamed()
        if happens == "request lost":
            raise no_answer()
        if happens == "refused":
            is_keys = self.plan.method == "keys"
            operation = Operation.CREATE_KEYS if is_keys else Operation.CREATE_FROM_CSR
            raise RejectedError(operation, refusal[0], "", refusal[1])
        key = "its key" if self.plan.csr else self.disk.keys.get(found.number, "")
        if self.plan.method == "keys":
            key = f"AWS's key {len(self.cloud.certificates)}"
        certificate_id = self.cloud.create(key, self.now)
        if happens != "well" or self.kill_after is not None:
            self.allowed += 1
        assert len(self.cloud.certificates) <= self.allowed, "a certificate nobody had to ask for"
        if happens == "answer lost":
            raise no_answer()
        self.cloud.certificates[certificate_id].answered = True
        if happens == "foreign":
            self.disk.ledger.append((certificate_id, Event.FOREIGN, found.number))
            raise no_answer()
        token = Secret(f"token of {certificate_id}")
        issued = Issued(
            certificate_id=certificate_id, token=token, received=self.now + self.clock_error
        )
        made_by_aws = key if self.plan.method == "keys" else None
        self.keep(self.disk.keep_certificate(issued, made_by_aws))

    def register(self, happens: str, refusal: tuple[int | None, str]) -> None:
        issued = self.there().issued
        assert issued is not None
        assert issued.token is not None
        if happens in ("request lost", "foreign"):
            raise no_answer()
        if happens == "refused":
            self.allowed += "token" in refusal[1].lower()
            raise RejectedError(Operation.REGISTER, refusal[0], "", refusal[1])
        if happens != "well" or self.kill_after is not None:
            self.allowed += 1
        self.cloud.register(issued.token.reveal(), self.now)
        if happens == "answer lost":
            raise no_answer()
        answer = Registration(thing_name="pump-7", device_configuration={})
        self.keep(self.disk.keep_registration(answer))

    def prove(self, happens: str) -> None:
        found = self.there()
        assert found.issued is not None
        certificate = self.cloud.certificates[found.issued.certificate_id]
        assert certificate.is_active
        assert self.disk.keys[found.number] == certificate.key
        if happens == "refused":
            raise RefusedError("No.", remedy="Look at the policy.", code="not-allowed")
        if happens == "foreign":
            raise TemporaryError("Busy.", remedy="Wait.", code="busy")
        if happens != "well":
            raise no_answer()
        self.keep(self.disk.mark_proven(self.now))

    def there(self) -> Generation:
        found = self.disk.pending()
        assert found is not None
        assert found == self.found
        return found

    # Properties -------------------------------------------------------------------------------------------------------

    def keep(self, facts: Iterator[None]) -> None:
        """Make facts durable one by one, until the kill if there is one; look at the disk after each."""
        if self.kill_after == 0:
            raise KilledError
        current = self.disk.current
        for _ in facts:
            if self.disk.current != current:
                current = self.disk.current
                new = self.disk.generations[current]
                assert new is not None
                assert new.proven is not None, "current moved before the new one was proven"
                self.is_wanted = False  # the commit point: the next start finds it provisioned
            self.check_every_certificate_is_named()
            if self.kill_after is not None:
                self.kill_after -= 1
                if self.kill_after == 0:
                    raise KilledError

    def check_every_certificate_is_named(self) -> None:
        known = self.disk.latest()
        for found in self.disk.generations.values():
            if found is not None and found.issued is not None:
                assert found.issued.certificate_id in known, "stored before the ledger named it"

    def check_nothing_live_is_unnamed(self) -> None:
        latest = self.disk.latest()
        current = self.disk.generations.get(self.disk.current)
        mine = current.issued.certificate_id if current and current.issued else None
        for certificate_id, certificate in self.cloud.certificates.items():
            if certificate.is_active and certificate_id != mine:
                assert latest.get(certificate_id) in NAMED, "a live certificate is left behind"

    def teardown(self) -> None:
        """The world heals: whatever happened, the device gets where it is to go, and the ledger says how."""
        if not hasattr(self, "cloud"):
            return
        self.is_running = False
        for _ in range(60):
            self.act("well")
            if not self.is_wanted or self.is_kept:
                break
            self.now += 0.0 if self.is_running else 1000.0
        assert not self.is_wanted or self.is_kept, "it never gets there"
        for _ in self.disk.update_ledger():
            pass
        latest = self.disk.latest()
        settled = NAMED | ({Event.REGISTERED, Event.ISSUED} if self.is_kept else set())
        for certificate_id, certificate in self.cloud.certificates.items():
            assert not certificate.answered or certificate_id in latest
            assert not certificate.is_active or latest[certificate_id] in settled


def no_answer() -> UnreachableError:
    return UnreachableError("No answer.", remedy="It is tried again.", code="no-answer")


def walk(machine_: Machine, disk: type[Disk]) -> type[Walk]:
    return type("Walk", (Walk,), {"machine": machine_, "disk_type": disk})


MANY = settings(
    max_examples=120,
    stateful_step_count=20,
    report_multiple_bugs=False,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_whatever_happens_it_ends_provisioned_or_in_a_named_state() -> None:
    run_state_machine_as_test(Walk, settings=MANY)


# Machines and disks that are wrong ------------------------------------------------------------------------------------


class AsksAgainAfterALostRegistration(Machine):
    """What most clients do: no answer to RegisterThing, so begin anew."""

    def next_step(self, found: Generation | None, plan: Plan) -> Step:
        step = super().next_step(found, plan)
        return Step.ISSUE if step is Step.REGISTER and self.lost else step

    lost = False

    def judge(self, failure: Any, step: Step, refused_for: float, token_age: float) -> Verdict:
        self.lost = step is Step.REGISTER
        return super().judge(failure, step, refused_for, token_age)


class HoldsOnToItsToken(Machine):
    """A refused token is tried for ever."""

    def judge(self, failure: Any, step: Step, refused_for: float, token_age: float) -> Verdict:
        verdict = super().judge(failure, step, refused_for, token_age)
        return dataclasses.replace(verdict, drop_certificate=False)


class DropsOnAnyRefusal(Machine):
    """Throttled, it throws its certificate away."""

    def judge(self, failure: Any, step: Step, refused_for: float, token_age: float) -> Verdict:
        verdict = super().judge(failure, step, refused_for, token_age)
        return dataclasses.replace(verdict, drop_certificate=step is Step.REGISTER)


class TrustsWithoutProof(Machine):
    """Registered is good enough."""

    def next_step(self, found: Generation | None, plan: Plan) -> Step:
        step = super().next_step(found, plan)
        return Step.PROMOTE if step is Step.PROVE else step


class WaitsForTheWord(Machine):
    """An expired token counts as refused only when AWS says token."""

    def judge(self, failure: Any, step: Step, refused_for: float, token_age: float) -> Verdict:
        return super().judge(failure, step, refused_for, 0.0 * token_age)


class DropsWithoutAWord(Disk):
    """A refused certificate is forgotten, and no ledger knows."""

    def drop_certificate(self) -> Iterator[None]:
        self._change(issued=None)
        yield


class StoresBeforeTheLedger(Disk):
    """The certificate first, the ledger when there is time."""

    def keep_certificate(self, issued: Issued, key: str | None) -> Iterator[None]:
        list(super().keep_certificate(issued, key))
        said = self.ledger.pop()
        yield
        self.ledger.append(said)
        yield


class RestartsWithoutAWord(Disk):
    """--restart opens the new attempt first and names the old one's certificate after."""

    def open(self, attempt: Any) -> Iterator[None]:
        older = [number for number in self.generations if number > self.current]
        new = max([*self.generations, self.current]) + 1
        self.generations[new] = Generation(number=new, attempt=attempt)
        yield
        for number in older:
            yield from self._name_dropped(number)
            self._remove(number)
            yield


@pytest.mark.parametrize(
    ("wrong", "disk", "caught"),
    [
        (AsksAgainAfterALostRegistration(), Disk, "left behind|nobody had to ask"),
        (HoldsOnToItsToken(), Disk, "never gets there"),
        (DropsOnAnyRefusal(), Disk, "nobody had to ask"),
        (TrustsWithoutProof(), Disk, "before the new one was proven"),
        (WaitsForTheWord(), Disk, "never gets there"),
        (Machine(), DropsWithoutAWord, "left behind"),
        (Machine(), StoresBeforeTheLedger, "before the ledger"),
        (Machine(), RestartsWithoutAWord, "left behind"),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_wrong_walk_is_caught(wrong: Machine, disk: type[Disk], caught: str) -> None:
    fast = settings(MANY, max_examples=3000, phases=(Phase.generate,), derandomize=True)
    with pytest.raises(AssertionError, match=caught):
        run_state_machine_as_test(walk(wrong, disk), settings=fast)
