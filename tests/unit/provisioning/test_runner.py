"""The walk step by step: what is reported of it, what is waited for, and what another start finds."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from fleet_agent.clock import BUILT, text
from fleet_agent.credentials import certificates, keys
from fleet_agent.credentials.model import Credential, KeyPair, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import (
    CONNECT_UNANSWERED,
    DATES,
    AgentError,
    DeviceError,
    NotAllowedError,
    RefusedError,
    StateDirectoryError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.process.mailbox import StopRequested, TimeUp
from fleet_agent.provisioning.adoption import REGISTERING_LIMIT
from fleet_agent.provisioning.answers import Certificate, UnusableAnswerError
from fleet_agent.provisioning.model import Operation, Plan, RejectedError
from fleet_agent.provisioning.proof import Proven
from fleet_agent.provisioning.report import Milestone
from fleet_agent.provisioning.runner import Provisioned, Runner
from fleet_agent.provisioning.waits import CLOCK_POLL, CLOCK_REPORT_INTERVAL
from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience
from support.certificates import END_OF_TIME, make_certificate
from support.clock import FakeClock
from support.csr import key_pem, make_key
from support.identity import CREDENTIAL
from support.needs import Steps, needs
from support.provisioning import make_plan, plan_to_adopt
from support.walks import current, walk

KEY = make_key()
CLAIM = KeyPair(
    certificate=make_certificate(KEY, valid_to=END_OF_TIME),
    private_key=Secret(key_pem(KEY).decode()),
    certificate_file="claim.crt",
    private_key_file="claim.key",
)
NOW = BUILT + 86_400.0
ID = "ab12" * 16


class Session:
    """One that stays open until somebody closes it."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Cloud:
    """Answers well, unless the test has put something else first."""

    is_open = False

    def __init__(self, bench: "Bench") -> None:
        self.bench = bench
        self.thing: str | None = "pump-7"
        self.configuration: dict[str, str] = {"site": "north"}
        self.asked: list[tuple[str, object]] = []
        self.happens: dict[str, list[Exception]] = {}
        self.opened = self.closed = 0
        self.pem: str | None = None
        self.refused: NotAllowedError | None = None

    def first(self, name: str, detail: object) -> None:
        self.asked.append((name, detail))
        if self.happens.get(name):
            raise self.happens[name].pop(0)

    def start(self) -> None:
        self.opened += 1

    def wait_open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        self.closed += 1

    def create_certificate(self, csr: str | None) -> Certificate:
        self.first("create", csr)
        self.bench.clock.go(1.0)
        key = make_key() if csr is None else None
        public = (
            key.public_key() if key else x509.load_pem_x509_csr((csr or "").encode()).public_key()
        )
        pem = make_certificate(KEY, valid_to=END_OF_TIME, public_key=public)
        private = Secret(key_pem(key).decode()) if key else None
        return Certificate(
            certificate_id=ID,
            pem=self.pem or pem,
            ownership_token=Secret("owner"),
            private_key=private,
        )

    def register_thing(
        self, token: Secret, parameters: Mapping[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        self.first("register", (token.reveal(), dict(parameters)))
        return self.thing, self.configuration

    def prove(self, credential: Credential, pair: KeyPair, waiting: Callable[..., None]) -> Proven:
        self.waiting = waiting
        self.first("prove", (credential.certificate_id, pair.certificate_file))
        self.bench.session = Session()
        return Proven(session=self.bench.session, how="a session", refused=self.refused)  # type: ignore[arg-type]


class Bench:
    def __init__(self, folder: Path, plan: Plan | None = None, **more: Any) -> None:
        self.folder = folder
        self.clock = FakeClock(NOW)
        self.clock.synchronised = True
        self.report = Steps()
        self.cloud = Cloud(self)
        self.plan = plan or make_plan("csr")
        self.session: Session | None = None
        self.slept: list[float] = []
        self.patience = 20
        self.meanwhile: Callable[[], None] = lambda: None
        self.more = more

    @property
    def store(self) -> Store:
        return Store(self.folder, self.clock)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.go(seconds)
        self.meanwhile()
        if len(self.slept) > self.patience:
            raise TimeUp

    def runner(self) -> Runner:
        given: dict[str, Any] = {
            "sleep": self.sleep,
            "read_pair": lambda: CLAIM,
            "make_api": lambda _pair: self.cloud,
            "prove": self.cloud.prove,
            **self.more,
        }
        return Runner(self.plan, needs(self.store, self.clock, self.report, **given))

    def provision(self, *, restart: bool = False) -> Provisioned:
        return self.runner().provision(restart=restart)

    def fails(self, kind: type[AgentError], *, restart: bool = False) -> AgentError:
        with pytest.raises(kind) as caught:
            self.provision(restart=restart)
        return caught.value

    def gets_to(self, name: str) -> None:
        """Is stopped just when this is asked for."""
        self.cloud.happens[name] = [StopRequested()]
        with pytest.raises(StopRequested):
            self.provision()

    @property
    def asked(self) -> list[str]:
        return [name for name, _ in self.cloud.asked]

    @property
    def ledger(self) -> dict[str, str]:
        return self.store.ledger.latest()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# All is well ----------------------------------------------------------------------------------------------------------


def test_every_step_is_reported_in_order_with_what_it_brought(bench: Bench) -> None:
    done = bench.provision()
    clock, *steps = bench.report.steps
    assert clock == (Milestone.CLOCK, text(bench.clock.now - 1.0))
    assert steps == [
        (Milestone.CLAIM_SESSION, "a.example"),
        (Milestone.CERTIFICATE, ID[:12] + "…"),
        (Milestone.STORED, "0001"),
        (Milestone.REGISTERED, "pump-7"),
        (Milestone.PROVEN, "a session"),
        (Milestone.CURRENT, "0001"),
    ]
    assert bench.session is not None
    assert vars(done)["session"] is bench.session
    assert not bench.session.is_closed
    credential = current(bench.store)
    assert done.credential == credential
    proven = json.loads((bench.store.folder(1) / "proven").read_text())
    assert proven["how"] == "a session"
    assert (credential.certificate_id, credential.thing_name) == (ID, "pump-7")
    assert credential.device_configuration == {"site": "north"}
    assert bench.cloud.asked[1:] == [
        ("register", ("owner", {"SerialNumber": "7"})),
        ("prove", (ID, credential.certificate_file)),
    ]
    assert (bench.cloud.opened, bench.cloud.closed) == (1, 1)
    assert (bench.slept, bench.report.waits, bench.report.problems) == ([], [], [])


def test_a_key_that_aws_made_is_kept_with_its_certificate(tmp_path: Path) -> None:
    bench = Bench(tmp_path, make_plan("keys"))
    bench.provision()
    found = bench.store.folder(1)
    pem = (found / "certificate.pem.crt").read_text()
    kept = Secret((found / "private.pem.key").read_text())
    assert keys.signs_for(kept, certificates.public_key_of_certificate(pem, "it"), "it")


def test_no_thing_and_a_policy_that_lacks_something_are_reported(bench: Bench) -> None:
    bench.cloud.thing, bench.cloud.configuration = None, {}
    bench.cloud.refused = NotAllowedError("thing", "iot:Publish", "topic/x")
    bench.provision()
    assert (Milestone.REGISTERED, "no thing") in bench.report.steps
    assert bench.report.problems == [bench.cloud.refused]


def test_the_proof_waits_where_the_session_before_it_had_the_same_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pause=1.5)
    bench.provision()
    assert bench.slept == [1.5]


def test_a_key_that_is_kept_elsewhere_ends_with_the_registration(tmp_path: Path) -> None:
    csr = keys.make_csr(Secret(key_pem(KEY).decode()))
    bench = Bench(tmp_path, make_plan("csr", csr))
    done = bench.provision()
    assert done.session is None
    assert done.credential.private_key_file is None
    assert done.credential.certificate_id == ID
    assert bench.asked == ["create", "register"]
    assert bench.cloud.asked[0][1] == csr.pem
    assert bench.provision() == done
    assert bench.asked == ["create", "register"]


def test_an_adopted_one_asks_for_nothing(tmp_path: Path) -> None:
    plan = plan_to_adopt()
    bench = Bench(tmp_path, plan)
    assert bench.provision().credential.certificate_id == "c1"
    assert bench.asked == ["prove"]
    assert bench.cloud.opened == 0
    assert [name for name, _ in bench.report.steps] == [
        Milestone.CLOCK, Milestone.STORED, Milestone.ADOPTED, Milestone.PROVEN, Milestone.CURRENT
    ]  # fmt: skip


def test_an_adopted_one_is_refused_in_its_own_words_for_as_long_as_a_ca_may_take(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, plan_to_adopt(), outlasts_refusal=False)
    bench.patience = 1000
    hung_up = [RefusedError("No.", remedy="Look.", code=CONNECT_UNANSWERED) for _ in range(999)]
    bench.cloud.happens["prove"] = list(hung_up)
    began = bench.clock.passed
    error = bench.fails(RefusedError)
    assert bench.clock.passed - began >= REGISTERING_LIMIT
    assert "adopted certificate c1" in error.title
    assert "is unknown in the account" in error.title
    assert "may still be registering" in bench.report.waits[0][0]
    assert error.step == Milestone.PROVEN


def test_one_of_another_thing_found_at_a_start_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.gets_to("prove")
    bench.more["in_use"] = dataclasses.replace(CREDENTIAL, thing_name="pump-8")
    assert bench.fails(DeviceError).code == "thing-changed"
    assert bench.store.pending() is None
    assert bench.ledger == {ID: "dropped"}


# Failures -------------------------------------------------------------------------------------------------------------


def lost(code: str = "answer-missing") -> UnreachableError:
    return UnreachableError("No answer.", remedy="Wait.", code=code)


@pytest.mark.parametrize("name", ["create", "register", "prove"])
def test_what_may_pass_is_waited_for_over_a_new_connection(bench: Bench, name: str) -> None:
    bench.cloud.happens[name] = [lost(), lost(), lost(), lost()]
    bench.provision()
    assert bench.asked.count(name) == 5
    assert {problem for *_, problem in bench.report.waits} == {None}
    spans = [seconds for why, seconds, _ in bench.report.waits if why == "No answer."]
    assert spans == sorted(spans)
    assert spans[0] < spans[-1]
    assert set(spans) <= set(bench.slept)
    assert bench.cloud.opened == (5 if name != "prove" else 1)
    assert bench.cloud.closed >= bench.cloud.opened


def test_waits_grow_with_failures_in_a_row_alone(bench: Bench) -> None:
    bench.more["jitter"] = lambda: 0.99
    bench.cloud.happens = {"create": [lost(), lost(), lost()], "register": [lost()]}
    bench.provision()
    first, second, third, other = [
        seconds for why, seconds, _ in bench.report.waits if why == "No answer."
    ]
    assert first < second < third
    assert other == first
    assert first == backoff.delay(Patience.NETWORK, 1, 0.99)


def test_a_refusal_ends_a_command_and_is_a_problem_to_a_daemon(tmp_path: Path) -> None:
    refused = RejectedError(Operation.REGISTER, 403, "Denied", "no")
    command = Bench(tmp_path / "command", outlasts_refusal=False)
    command.cloud.happens["register"] = [refused]
    error = command.fails(RefusedError)
    assert error.step == Milestone.REGISTERED
    assert command.report.waits == []
    daemon = Bench(tmp_path / "daemon")
    daemon.cloud.happens["register"] = [refused]
    daemon.provision()
    ((why, _, problem),) = daemon.report.waits
    assert problem is not None
    assert why == problem.title


def test_what_waiting_cannot_mend_ends_it(bench: Bench) -> None:
    broken = DeviceError("Wrong here.", remedy="Mend it.", code="x")
    bench.cloud.happens["create"] = [broken]
    assert bench.fails(DeviceError) is broken
    assert broken.step == Milestone.CERTIFICATE
    assert bench.cloud.closed == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_out_of_time_the_last_cause_is_the_answer(bench: Bench, is_known: bool) -> None:
    bench.cloud.happens["create"] = [lost() for _ in range(99)] if is_known else [TimeUp()]
    error = bench.fails(UnreachableError)
    assert error.code == ("answer-missing" if is_known else "timeout")
    assert error.step == Milestone.CERTIFICATE


def test_a_success_in_between_is_no_cause_any_more(bench: Bench) -> None:
    bench.cloud.happens = {"create": [lost()], "register": [TimeUp()]}
    error = bench.fails(UnreachableError)
    assert (error.code, error.step) == ("timeout", Milestone.REGISTERED)


def test_a_new_identity_is_refused_for_a_while_before_that_counts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outlasts_refusal=False)
    refusals = [NotAllowedError("thing", "iot:Connect", "client/pump") for _ in range(99)]
    bench.cloud.happens["prove"] = list(refusals)
    bench.patience = 100
    began = bench.clock.passed
    assert bench.fails(NotAllowedError).step == Milestone.PROVEN
    assert bench.clock.passed - began >= 45.0
    assert len(bench.report.waits) > 3


def test_a_wait_within_the_proof_is_reported_once(bench: Bench) -> None:
    busy = TemporaryError("Not yet.", remedy="Wait.", code="busy")

    def prove(_credential: object, _pair: object, report: Callable[..., None]) -> Proven:
        report(busy, 3.0)
        report(busy, 3.0)
        return Proven(session=Session(), how="it")  # type: ignore[arg-type]

    bench.more["prove"] = prove
    bench.provision()
    assert bench.report.waits == [("Not yet.", 3.0, None)]


def test_a_wait_of_which_the_reason_is_known_is_not_reported_again(bench: Bench) -> None:
    busy = TemporaryError("Not yet.", remedy="Wait.", code="busy")
    fails = [busy]

    def prove(credential: Credential, pair: KeyPair, report: Callable[..., None]) -> Proven:
        if fails:
            raise fails.pop()
        report(busy, 3.0)
        return bench.cloud.prove(credential, pair, report)

    bench.more["prove"] = prove
    bench.provision()
    assert [words for words, _, _ in bench.report.waits] == ["Not yet."]


def test_a_session_that_proved_what_cannot_be_kept_is_closed(bench: Bench) -> None:
    prove = bench.cloud.prove

    def disk_refuses(
        credential: Credential, pair: KeyPair, waiting: Callable[..., None]
    ) -> Proven:
        proof = bench.store.folder(credential.generation) / "proven"
        proof.symlink_to(bench.folder / "elsewhere")
        return prove(credential, pair, waiting)

    bench.more["prove"] = disk_refuses
    bench.fails(StateDirectoryError)
    assert bench.session is not None
    assert bench.session.is_closed


# Certificates ---------------------------------------------------------------------------------------------------------


def test_a_certificate_for_another_key_is_named_and_never_used(bench: Bench) -> None:
    other = make_certificate(KEY, valid_to=END_OF_TIME, public_key=make_key().public_key())
    bench.cloud.pem = other
    bench.patience = 0
    error = bench.fails(UnreachableError)
    assert error.code == "certificate-foreign"
    assert ID in error.title
    assert bench.ledger == {ID: "foreign"}
    assert bench.store.ledger.latest(1) == {ID: "foreign"}
    found = bench.store.pending()
    assert found is not None
    assert found.issued is None


@pytest.mark.parametrize("certificate_id", [ID, None])
def test_an_answer_that_cannot_be_used_is_named_where_it_has_a_name(
    bench: Bench, certificate_id: str | None
) -> None:
    unusable = UnusableAnswerError("No.", remedy="Again.", code="answer-invalid")
    unusable.certificate_id = certificate_id
    bench.cloud.happens["create"] = [unusable]
    bench.patience = 0
    assert bench.fails(UnusableAnswerError) is unusable
    assert bench.ledger == ({ID: "foreign"} if certificate_id else {})


def test_a_token_that_was_refused_costs_one_certificate(bench: Bench) -> None:
    bench.cloud.happens["register"] = [RejectedError(Operation.REGISTER, 400, "", "bad token")]
    bench.provision()
    assert bench.asked == ["create", "register", "create", "register", "prove"]


@pytest.mark.parametrize(("age", "asks"), [(3500.0, 1), (3700.0, 2)])
@pytest.mark.parametrize("is_restarted", [True, False])
def test_a_tokens_age_is_that_of_the_certificate(
    bench: Bench, age: float, asks: int, is_restarted: bool
) -> None:
    """Past its hour a refusal is about the token, whatever its words."""
    refused = RejectedError(Operation.REGISTER, 400, "", "no")
    if is_restarted:
        bench.gets_to("register")
        bench.clock.go(age)
        bench.cloud.happens["register"] = [refused]
    else:
        bench.cloud.happens["register"] = [lost(), refused]

        def passes() -> None:
            # The wall clock is set back meanwhile, which is nothing to a token.
            bench.clock.passed += age
            bench.meanwhile = lambda: None

        bench.meanwhile = passes
    bench.provision()
    assert bench.asked.count("create") == asks


def test_a_registration_of_another_thing_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, in_use=CREDENTIAL)
    bench.cloud.thing = "pump-8"
    error = bench.fails(DeviceError)
    assert error.code == "thing-changed"
    assert bench.store.pending() is None
    assert bench.ledger == {ID: "dropped"}
    bench.cloud.thing = "pump-7"
    bench.provision()


def test_a_device_configuration_that_makes_a_topic_impossible_is_asked_for_again(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, topics=[("dt/{site}", "")], outlasts_refusal=False)
    bench.cloud.configuration = {"site": "a/b"}
    bench.fails(UnreachableError)
    found = bench.store.pending()
    assert found is not None
    assert found.registration is None
    bench.cloud.configuration = {"site": "north"}
    bench.provision()
    assert bench.asked.count("create") == 1


# Another start --------------------------------------------------------------------------------------------------------


def test_it_goes_on_where_it_stopped(bench: Bench) -> None:
    for name in ("create", "register", "prove"):
        bench.gets_to(name)
    bench.provision()
    assert bench.asked == ["create", "create", "register", "register", "prove", "prove"]


def test_a_request_that_may_have_made_a_certificate_is_repeated_later(bench: Bench) -> None:
    bench.gets_to("create")
    bench.gets_to("create")
    assert bench.report.waits == []
    found = bench.store.pending()
    assert found is not None
    assert found.attempt.tries == 2
    left = found.attempt.not_before - bench.clock.now
    assert left > 0
    bench.provision()
    assert ("the last try was a moment ago", left, None) in bench.report.waits
    assert bench.slept == [left]


def test_a_key_that_is_to_be_made_again_does_not_shorten_the_wait(bench: Bench) -> None:
    bench.gets_to("create")
    bench.gets_to("create")
    (bench.store.folder(1) / "private.pem.key").unlink()
    found = bench.store.pending()
    assert found is not None
    assert not found.has_key
    left = found.attempt.not_before - bench.clock.now
    bench.provision()
    assert bench.slept == [left]


def test_other_parameters_are_sent_with_the_next_registration(bench: Bench) -> None:
    bench.gets_to("register")
    before = bench.store.pending()
    bench.plan = dataclasses.replace(bench.plan, parameters={"SerialNumber": "8"})
    bench.gets_to("register")
    after = bench.store.pending()
    assert bench.cloud.asked[-1] == ("register", ("owner", {"SerialNumber": "8"}))
    assert before is not None
    assert after is not None
    assert after.attempt.parameters_hash == keys.hash_parameters({"SerialNumber": "8"})
    assert after.attempt.parameters_hash != before.attempt.parameters_hash


def test_something_else_begins_again_where_nothing_can_be_lost(bench: Bench) -> None:
    bench.gets_to("create")
    bench.gets_to("create")
    bench.plan = dataclasses.replace(bench.plan, template="other")
    bench.gets_to("create")
    found = bench.store.pending()
    assert found is not None
    assert (found.attempt.template, found.attempt.tries) == ("other", 3)  # no way to ask faster
    bench.gets_to("register")
    bench.plan = dataclasses.replace(bench.plan, template="third")
    assert bench.fails(DeviceError).code == "attempt-differs"
    bench.provision(restart=True)
    assert bench.ledger == {ID: "current"}


def test_a_certificate_whose_key_is_gone_is_no_use(bench: Bench) -> None:
    bench.gets_to("register")
    found = bench.store.pending()
    assert found is not None
    (bench.store.folder(found.number) / "private.pem.key").unlink()
    assert bench.fails(DeviceError).code == "state-damaged"


def test_damage_ends_it_unless_it_is_to_begin_again(bench: Bench) -> None:
    bench.gets_to("register")
    found = bench.store.pending()
    assert found is not None
    (bench.store.folder(found.number) / "issued.json").write_text("[]")
    assert bench.fails(StateDirectoryError).code == "state-damaged"
    bench.provision(restart=True)


def test_a_certificate_without_its_token_cannot_be_registered(bench: Bench) -> None:
    bench.gets_to("register")
    found = bench.store.pending()
    assert found is not None
    assert found.issued is not None
    issued = dataclasses.replace(found.issued, ownership_token=None)
    bench.store.keep_certificate(found, issued, "x", None)
    assert bench.fails(DeviceError).code == "state-damaged"


def test_a_key_made_ahead_is_used_whatever_is_asked_for(bench: Bench) -> None:
    before = dataclasses.replace(make_plan("csr"), endpoint="b.example")
    found = bench.store.open(dataclasses.replace(before.attempt(0.0, ""), tries=0))
    made = bench.store.keep_key(found, Secret(key_pem(KEY).decode()))
    bench.gets_to("create")
    ahead = bench.store.pending()
    assert ahead is not None
    hashed = keys.hash_parameters(bench.plan.parameters)
    assert ahead.attempt == dataclasses.replace(
        bench.plan.attempt(NOW, hashed), tries=1, not_before=ahead.attempt.not_before
    )
    credential = bench.provision().credential
    assert credential.generation == made.number
    assert credential.endpoint == "a.example"
    key = bench.store.key(made.number)
    assert isinstance(key, Secret)
    assert key.reveal().encode() == key_pem(KEY)
    assert len(bench.store.ledger.latest()) == 1


def test_what_was_replaced_by_an_attempt_of_another_origin_is_worth_nothing(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, plan_to_adopt())
    bench.gets_to("prove")
    bench.plan = make_plan("csr")
    assert bench.provision().credential.certificate_id == ID


# The clock ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_not_set_is_waited_for_and_reported_now_and_then(bench: Bench) -> None:
    bench.clock.now = 0.0
    bench.patience = 10_000

    def set_it() -> None:
        if len(bench.slept) == 1 + 2 * int(CLOCK_REPORT_INTERVAL / CLOCK_POLL):
            bench.clock.now = NOW

    bench.meanwhile = set_it
    bench.provision()
    assert set(bench.slept) == {CLOCK_POLL}
    assert len(bench.report.waits) == 3
    assert "Waiting for the clock" in bench.report.waits[0][0]
    assert bench.report.waits[0][1] == CLOCK_POLL
    assert [name for name, _ in bench.report.steps].count(Milestone.CLOCK) == 1


def test_out_of_time_while_the_clock_is_waited_for(bench: Bench) -> None:
    bench.clock.now = 0.0
    assert bench.fails(UnreachableError).code == "clock"


@pytest.mark.parametrize("is_doubtful", [True, False])
def test_dates_that_look_wrong_by_a_doubtful_clock_are_the_clocks_fault(
    bench: Bench, is_doubtful: bool
) -> None:
    bench.cloud.happens["create"] = [lost(DATES)]

    def make_api(_pair: object) -> Cloud:
        # From the handshake on nobody vouches for it any more.
        bench.clock.synchronised = not is_doubtful
        return bench.cloud

    def set_it() -> None:
        bench.clock.synchronised = True

    bench.more["make_api"] = make_api
    bench.meanwhile = set_it
    bench.provision()
    assert any("clock" in why for why, *_ in bench.report.waits) is is_doubtful


def test_the_current_one_stays_while_another_is_asked_for(bench: Bench) -> None:
    walk(bench.store, "a")
    bench.gets_to("prove")
    assert current(bench.store).certificate_id == "c-a"
    assert bench.provision().credential.generation == 2
