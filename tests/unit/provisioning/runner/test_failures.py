"""Failures: which are waited for, and which end the walk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.errors import (
    CONNECT_UNANSWERED,
    DeviceError,
    NotAllowedError,
    RefusedError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.process.mailbox import TimeUp
from fleet_agent.provisioning.adoption import REGISTERING_LIMIT
from fleet_agent.provisioning.model import Operation, RejectedError
from fleet_agent.provisioning.proof import Proven
from fleet_agent.provisioning.report import Milestone
from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience
from support.provisioning import plan_to_adopt
from support.runners import Bench, Session, lost


@pytest.mark.parametrize("name", ["create", "register", "prove"])
def test_temporary_failures_are_waited_for_and_tried_again_over_a_new_connection(
    bench: Bench, name: str
) -> None:
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


def test_waits_grow_only_with_consecutive_failures(bench: Bench) -> None:
    bench.more["jitter"] = lambda: 0.99
    bench.cloud.happens = {"create": [lost(), lost(), lost()], "register": [lost()]}
    bench.provision()
    first, second, third, other = [
        seconds for why, seconds, _ in bench.report.waits if why == "No answer."
    ]
    assert first < second < third
    assert other == first
    assert first == backoff.delay(Patience.NETWORK, 1, 0.99)


def test_a_refusal_ends_a_command_and_is_a_problem_for_a_daemon(tmp_path: Path) -> None:
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


def test_a_failure_that_waiting_cannot_mend_ends_the_walk(bench: Bench) -> None:
    broken = DeviceError("Wrong here.", remedy="Mend it.", code="x")
    bench.cloud.happens["create"] = [broken]
    assert bench.fails(DeviceError) is broken
    assert broken.step == Milestone.CERTIFICATE
    assert bench.cloud.closed == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_when_time_is_up_the_last_failure_is_raised(bench: Bench, is_known: bool) -> None:
    bench.cloud.happens["create"] = [lost() for _ in range(99)] if is_known else [TimeUp()]
    error = bench.fails(UnreachableError)
    assert error.code == ("answer-missing" if is_known else "timeout")
    assert error.step == Milestone.CERTIFICATE


def test_a_success_clears_the_failure_before_it(bench: Bench) -> None:
    bench.cloud.happens = {"create": [lost()], "register": [TimeUp()]}
    error = bench.fails(UnreachableError)
    assert (error.code, error.step) == ("timeout", Milestone.REGISTERED)


def test_a_new_identity_may_be_refused_for_a_while_before_that_counts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outlasts_refusal=False)
    refusals = [NotAllowedError("thing", "iot:Connect", "client/pump") for _ in range(99)]
    bench.cloud.happens["prove"] = list(refusals)
    bench.patience = 100
    began = bench.clock.passed
    assert bench.fails(NotAllowedError).step == Milestone.PROVEN
    assert bench.clock.passed - began >= 45.0
    assert len(bench.report.waits) > 3


def test_an_adopted_certificate_may_be_refused_for_as_long_as_its_ca_may_take(
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


def test_a_wait_within_the_proof_is_reported_once(bench: Bench) -> None:
    busy = TemporaryError("Not yet.", remedy="Wait.", code="busy")

    def prove(_credential: object, _pair: object, report: Callable[..., None]) -> Proven:
        report(busy, 3.0)
        report(busy, 3.0)
        return Proven(session=Session(), how="it")  # type: ignore[arg-type]

    bench.more["prove"] = prove
    bench.provision()
    assert bench.report.waits == [("Not yet.", 3.0, None)]


def test_a_wait_for_a_reported_reason_is_not_reported_again(bench: Bench) -> None:
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
