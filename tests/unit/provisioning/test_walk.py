"""The walk under everything that can happen to it, with a model of AWS; and walks that go wrong, caught.

The runner is the real one, over the real store in memory; time passes when it sleeps. What AWS does to each request is
drawn, and at which change of the disk the power goes, or the disk is full.
"""

import contextlib
import dataclasses
import errno
import itertools
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fleet_agent import files
from fleet_agent.credentials import certificates, folders, keys, records
from fleet_agent.credentials.model import (
    Attempt,
    Credential,
    Event,
    Generation,
    Issued,
    KeyPair,
    Secret,
)
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, Exit, RefusedError, TemporaryError, UnreachableError
from fleet_agent.process.mailbox import StopRequested
from fleet_agent.provisioning.answers import Certificate
from fleet_agent.provisioning.dependencies import Dependencies, ReportWaiting, here
from fleet_agent.provisioning.model import Operation, Plan, RejectedError, Step, Verdict
from fleet_agent.provisioning.proof import Proven
from fleet_agent.provisioning.report import Milestone
from fleet_agent.provisioning.runner import Provisioned, Runner
from fleet_agent.session.backoff import Patience
from fleet_agent.session.mqtt import Session
from support.certificates import END_OF_TIME, make_certificate
from support.changes import Changes, KilledError
from support.clock import FakeClock
from support.csr import key_pem, make_key
from support.provisioning import OWNERSHIP_TOKEN_LIFE, Cloud, make_plan

_KEY, _OTHER = make_key(), make_key()
_CSR = keys.make_csr(Secret(key_pem(_KEY).decode()))
_WITH_KEY = dataclasses.replace(make_plan("csr", _CSR), csr_key=Secret(key_pem(_KEY).decode()))
PLANS = (make_plan("csr"), make_plan("keys"), _WITH_KEY, make_plan("csr", _CSR))
CLAIM = KeyPair(
    certificate=make_certificate(_KEY, valid_to=END_OF_TIME),
    private_key=Secret(key_pem(_KEY).decode()),
    certificate_file="claim.crt",
    private_key_file="claim.key",
)
NAMED = frozenset({Event.UNRESOLVED, Event.DROPPED, Event.CURRENT, Event.RETIRED})
MEMORY = Path("/dev/shm")


class FakeSession:
    """The session that proved a credential."""

    is_open = True

    def close(self) -> None:
        self.is_open = False


class Report:
    """Nobody who listens."""

    def step(self, name: Milestone, detail: str = "") -> None: ...

    def waiting(self, why: str, seconds: float, problem: AgentError | None = None) -> None: ...

    def problem(self, problem: AgentError) -> None: ...


@dataclasses.dataclass
class Happening:
    """What comes of one request, or of the proof; of a refusal its status and text."""

    kind: str = "well"
    status: int | None = None
    text: str = ""


HAPPENINGS = some.builds(
    Happening,
    kind=some.sampled_from(
        ("well", "well", "request lost", "answer lost", "foreign", "refused", "refused")
    ),
    status=some.sampled_from((None, 200, 400, 403, 404, 409, 429, 500, 503)),
    text=some.sampled_from(("", "Parameter SerialNumber is missing", "ownership TOKEN")),
)


class Walk(RuleBasedStateMachine):
    """A device that is killed, refused, ignored and misled."""

    runner_type: type[Runner] = Runner
    store_type: type[Store] = Store

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.clock = FakeClock()
        self.clock.synchronised = True
        self.changes = Changes(self.folder)
        self.script: list[Happening] = []
        self.sleeps = 0
        self.slept = 0.0
        self.is_wanted = True  # provisioning is asked for: at first, and by --force
        self.is_kept = False
        self.current: str | None = None
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

    @rule(script=some.lists(HAPPENINGS, max_size=4), sleeps=some.integers(0, 4))
    def run(self, script: list[Happening], sleeps: int) -> None:
        self.walk(script, sleeps)

    @rule(script=some.lists(HAPPENINGS, max_size=2), change=some.integers(0, 24))
    def run_and_be_killed(self, script: list[Happening], change: int) -> None:
        self.walk(script, 2, change, KilledError())

    @rule(change=some.integers(0, 24))
    def run_with_a_full_disk(self, change: int) -> None:
        self.walk([], 2, change, OSError(errno.ENOSPC, "No space left on device"))

    @rule(seconds=some.sampled_from((1.0, 60.0, 1800.0, 4000.0)))
    def time_passes(self, seconds: float) -> None:
        self.clock.go(seconds)
        self.allowed += seconds > OWNERSHIP_TOKEN_LIFE / 2

    @rule(seconds=some.sampled_from((-1e8, 1e8)))
    def the_clock_steps(self, seconds: float) -> None:
        self.clock.now = max(1.8e9 + self.clock.passed, self.clock.now + seconds)
        self.allowed += 1

    @precondition(lambda self: self.is_wanted)
    @rule(change=some.none() | some.integers(0, 12))
    def restart(self, change: int | None) -> None:
        self.allowed += 1
        self.is_kept = False
        self.walk([], 2, change, KilledError(), restart=True)

    @precondition(lambda self: not self.is_wanted)
    @rule()
    def force(self) -> None:
        self.is_wanted = True
        self.allowed += 1

    @precondition(lambda self: self.is_kept)
    @rule()
    def bring_the_key(self) -> None:
        self.is_kept = False
        self.plan = _WITH_KEY

    # One run ----------------------------------------------------------------------------------------------------------

    def walk(
        self,
        script: list[Happening],
        sleeps: int,
        change: int | None = None,
        error: BaseException = KilledError(),  # noqa: B008 - only raised
        *,
        restart: bool = False,
    ) -> None:
        """One start of the agent, until it ends or is stopped at a sleep."""
        if not self.is_wanted or self.is_kept:
            return
        self.script, self.sleeps, self.slept = list(script), sleeps, 0.0
        self.answered: list[str] = []
        self.allowed += change is not None
        with (
            contextlib.suppress(KilledError, StopRequested),
            self.changes.stopping_at(change, error),
        ):
            self.provision(restart=restart)
        if not self.changes.has_stopped:
            for certificate_id in self.answered:
                self.cloud.certificates[certificate_id].answered = True
        self.look()

    def provision(self, *, restart: bool) -> None:
        runner = self.runner_type(self.plan, self.needs())
        try:
            done = runner.provision(restart=restart)
        except AgentError as error:
            failure = error
        else:
            self.take(done)
            return
        assert failure.code
        assert failure.remedy
        assert failure.exit_status in Exit

    def take(self, done: Provisioned) -> None:
        if done.credential.private_key_file is None:
            self.is_kept = True
            return
        if done.session is not None:
            assert cast("FakeSession", done.session).is_open

    def needs(self) -> Dependencies:
        return Dependencies(
            store=self.store(),
            clock=self.clock,
            call=here,
            sleep=self.sleep,
            jitter=lambda: 0.5,
            report=Report(),
            read_pair=lambda: CLAIM,
            make_api=lambda _pair: self,
            prove=self.prove,
            topics=(),
            outlasts_refusal=self.outlasts_refusal,
        )

    def store(self) -> Store:
        return self.store_type(self.folder, self.clock)

    def sleep(self, seconds: float) -> None:
        if self.sleeps == 0:
            raise StopRequested
        self.sleeps -= 1
        self.clock.go(seconds)
        self.slept += seconds
        if self.slept > OWNERSHIP_TOKEN_LIFE / 2:
            self.slept = 0.0
            self.allowed += 1

    def next_happening(self) -> Happening:
        return self.script.pop(0) if self.script else Happening()

    # AWS's side: an ``Api``, and the proof ----------------------------------------------------------------------------

    is_open = False

    def start(self) -> None: ...

    def wait_open(self) -> None: ...

    def close(self) -> None: ...

    def create_certificate(self, csr: str | None) -> Certificate:
        happens = self.next_happening()
        self.check_nothing_live_is_unnamed()
        if happens.kind == "request lost":
            raise no_answer()
        if happens.kind == "refused":
            operation = Operation.CREATE_KEYS if csr is None else Operation.CREATE_FROM_CSR
            raise RejectedError(operation, happens.status, "", happens.text)
        self.allowed += happens.kind != "well"
        made = make_key() if csr is None else None
        public = public_key_of(csr) if made is None else made.public_key()
        der = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        certificate_id = self.cloud.create(der, self.clock.monotonic())
        assert len(self.cloud.certificates) <= self.allowed, "a certificate nobody had to ask for"
        if happens.kind == "answer lost":
            raise no_answer()
        self.answered.append(certificate_id)
        if happens.kind == "foreign":
            public = _OTHER.public_key()
        return Certificate(
            certificate_id=certificate_id,
            pem=make_certificate(_KEY, valid_to=END_OF_TIME, public_key=public),
            ownership_token=Secret(f"token of {certificate_id}"),
            private_key=Secret(key_pem(made).decode()) if made else None,
        )

    def register_thing(
        self, token: Secret, parameters: Mapping[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        assert parameters == self.plan.parameters
        happens = self.next_happening()
        if happens.kind in ("request lost", "foreign"):
            raise no_answer()
        if happens.kind == "refused":
            self.allowed += "token" in happens.text.lower()
            raise RejectedError(Operation.REGISTER, happens.status, "", happens.text)
        self.allowed += happens.kind != "well"
        self.cloud.register(token.reveal(), self.clock.monotonic())
        if happens.kind == "answer lost":
            raise no_answer()
        return "pump-7", {}

    def prove(self, credential: Credential, pair: KeyPair, _report: ReportWaiting) -> Proven:
        certificate = self.cloud.certificates[credential.certificate_id]
        assert certificate.is_active
        assert keys.public_key_of_key(pair.private_key, "key") == certificate.key
        assert certificates.public_key_of_certificate(pair.certificate, "it") == certificate.key
        match self.next_happening().kind:
            case "well":
                return Proven(session=cast("Session", FakeSession()), how="a session")
            case "refused":
                raise RefusedError("No.", remedy="Check the policy.", code="not-allowed")
            case "foreign":
                raise TemporaryError("Busy.", remedy="Wait.", code="server-busy")
            case _:
                raise no_answer()

    # Properties -------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """At the disk, as the next start would find it."""
        store = Store(self.folder, self.clock)
        latest = store.ledger.latest()
        for path in (self.folder / "credentials").glob("[0-9]*/issued.json"):
            found = store._folders.read(int(path.parent.name))
            if found is not None and found.issued is not None:
                assert found.issued.certificate_id in latest, "stored before the ledger named it"
        credential = store.current()
        if credential is not None and credential.certificate_id != self.current:
            assert credential.is_proven, "current moved before the new one was proven"
            self.current = credential.certificate_id
            self.is_wanted = False  # the commit point: the next start finds it provisioned

    def check_nothing_live_is_unnamed(self) -> None:
        store = Store(self.folder, self.clock)
        latest = store.ledger.latest()
        credential = store.current()
        mine = credential.certificate_id if credential else None
        named = {event.value for event in NAMED}
        for certificate_id, certificate in self.cloud.certificates.items():
            if certificate.is_active and certificate_id != mine:
                assert latest.get(certificate_id) in named, "a live certificate is left behind"

    def teardown(self) -> None:
        """The world heals: whatever happened, the device gets where it is to go, and the ledger says how."""
        try:
            if hasattr(self, "cloud"):
                self.settle()
        finally:
            shutil.rmtree(self.folder)

    def settle(self) -> None:
        for _ in range(20):
            if not self.is_wanted or self.is_kept:
                break
            self.walk([], 8)
            self.clock.go(1000.0)
        assert not self.is_wanted or self.is_kept, "it never gets there"
        store = Store(self.folder, self.clock)
        store.update_ledger()
        latest = store.ledger.latest()
        settled = NAMED | ({Event.REGISTERED, Event.ISSUED} if self.is_kept else set())
        for certificate_id, certificate in self.cloud.certificates.items():
            assert not certificate.answered or certificate_id in latest
            assert not certificate.is_active or latest[certificate_id] in {
                event.value for event in settled
            }


def public_key_of(csr: str | None) -> Any:
    from cryptography import x509

    return x509.load_pem_x509_csr((csr or "").encode()).public_key()


def no_answer() -> UnreachableError:
    return UnreachableError("No answer.", remedy="The agent tries again.", code="answer-missing")


MANY = settings(
    max_examples=40,
    stateful_step_count=12,
    report_multiple_bugs=False,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_whatever_happens_it_ends_provisioned_or_in_a_named_state() -> None:
    run_state_machine_as_test(Walk, settings=MANY)


@pytest.mark.thorough
@pytest.mark.timeout(1200)
def test_whatever_happens_at_length() -> None:
    run_state_machine_as_test(
        Walk, settings=settings(MANY, max_examples=1500, stateful_step_count=25)
    )


# Runners and stores that are wrong ------------------------------------------------------------------------------------


class AsksAgainAfterALostRegistration(Runner):
    """What most clients do: no answer to RegisterThing, so begin again."""

    def _judge(self, failure: Any, step: Step, found: Generation | None) -> Verdict:
        verdict = super()._judge(failure, step, found)
        is_lost = step is Step.REGISTER and verdict.error.code == "answer-missing"
        if is_lost and found is not None and found.issued is not None:
            files.remove(self._store.folder(found.number) / folders.ISSUED)
        return verdict


class HoldsOnToItsToken(Runner):
    """A refused token is tried for ever."""

    def _judge(self, failure: Any, step: Step, found: Generation | None) -> Verdict:
        verdict = super()._judge(failure, step, found)
        return dataclasses.replace(verdict, drop_certificate=False)


class DropsOnAnyRefusal(Runner):
    """Throttled, it throws its certificate away."""

    def _judge(self, failure: Any, step: Step, found: Generation | None) -> Verdict:
        verdict = super()._judge(failure, step, found)
        return dataclasses.replace(verdict, drop_certificate=step is Step.REGISTER)


class TrustsWithoutProof(Runner):
    """Registered is good enough."""

    def _prove(self, found: Generation) -> Generation:
        self._store.promote(dataclasses.replace(found, proven=1.0))
        raise StopRequested


class WaitsForTheWord(Runner):
    """An expired token counts as refused only when AWS says token."""

    def _ownership_token_age(self, issued: Issued) -> float:
        return 0.0 * super()._ownership_token_age(issued)


class DropsWithoutAWord(Store):
    """A refused certificate is forgotten, and no ledger knows."""

    def drop_certificate(self, found: Generation) -> Generation:
        files.remove(self.folder(found.number) / folders.ISSUED)
        return dataclasses.replace(found, issued=None)


class StoresBeforeTheLedger(Store):
    """The certificate first, the ledger when there is time."""

    def keep_certificate(
        self, found: Generation, issued: Issued, certificate: str, private_key: Secret | None
    ) -> Generation:
        ledger, folder = self.ledger, self.folder(found.number)
        if private_key is not None:
            files.remove(folder / folders.KEY)
            files.write(folder / folders.KEY, private_key.reveal().encode(), 0o600)
        files.write(folder / folders.CERTIFICATE, certificate.encode(), 0o644)
        self._write_json(found.number, folders.ISSUED, records.dump_issued(issued))
        ledger.record(issued.certificate_id, Event.ISSUED, found.number, issued.received)
        return dataclasses.replace(found, issued=issued, has_key=True)


class RestartsWithoutAWord(Store):
    """--restart gives up the old attempt, and its certificate with it."""

    def open(self, attempt: Attempt) -> Generation:
        self._reconcile.drop = lambda _number: None  # type: ignore[method-assign,assignment]
        return super().open(attempt)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runner", "store", "caught"),
    [
        (AsksAgainAfterALostRegistration, Store, "left behind|nobody had to ask"),
        (HoldsOnToItsToken, Store, "never gets there"),
        (DropsOnAnyRefusal, Store, "nobody had to ask"),
        (TrustsWithoutProof, Store, "before the new one was proven"),
        pytest.param(
            *(WaitsForTheWord, Store, "never gets there"),
            marks=pytest.mark.thorough,
            id="WaitsForTheWord",
        ),
        (Runner, DropsWithoutAWord, "left behind"),
        (Runner, StoresBeforeTheLedger, "before the ledger"),
        (Runner, RestartsWithoutAWord, "left behind"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_walk_is_caught(runner: type[Runner], store: type[Store], caught: str) -> None:
    fast = settings(MANY, max_examples=3000, phases=(Phase.generate,), derandomize=True)
    wrong = type("Wrong", (Walk,), {"runner_type": runner, "store_type": store})
    # hypothesis wraps what a second run did not show again in a group.
    with pytest.raises((AssertionError, ExceptionGroup)) as found:
        run_state_machine_as_test(wrong, settings=fast)
    failures = [error for error in leaves(found.value) if isinstance(error, AssertionError)]
    assert any(re.search(caught, str(failure)) for failure in failures)


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def test_two_replacements_cut_off_before_the_ledger_leave_no_certificate_unnamed() -> None:
    """Found by the walk at length: each was killed between the link `current` and the ledger."""
    walk = Walk()
    walk.begin(plan=PLANS[0], outlasts_refusal=False, is_idempotent=True, says_token=False)
    for change in (15, 3, 9):
        walk.run_and_be_killed([], change)
    walk.force()
    for change in (7, 13, 9):
        walk.run_and_be_killed([], change)
    walk.force()
    walk.teardown()


def test_tokens_that_keep_being_refused_cost_a_certificate_slower_and_slower() -> None:
    """By half of each span, which doubles: an hour of it costs a dozen certificates and not thousands."""
    walk = Walk()
    walk.begin(plan=PLANS[0], outlasts_refusal=True, is_idempotent=True, says_token=True)
    refused = Happening("refused", 400, "ownership TOKEN")
    walk.walk([Happening(), refused] * 12, sleeps=1000)
    made = [certificate.made for certificate in walk.cloud.certificates.values()]
    assert len(made) == 13
    gaps = [after - before for before, after in itertools.pairwise(made)]
    assert gaps == [1.0, *(min(2.0**number, Patience.BUSY.ceiling / 2) for number in range(11))]
    walk.teardown()
