"""The limit of one certificate a day, whatever AWS IoT answers; and what a device lacks to ask with."""

import dataclasses
from pathlib import Path

import pytest

from fleet_agent.config.provisioning import Claim, Provisioning
from fleet_agent.config.settings import Settings
from fleet_agent.errors import NotAllowedError, RefusedError, UnreachableError
from fleet_agent.identity import ladder, recover, recovery_state
from fleet_agent.identity.recovery_state import RecoveryState
from fleet_agent.provisioning.model import Operation, RejectedError
from support.clock import FakeClock

LOST = UnreachableError("No answer.", remedy="Wait.", code="answer-missing")
REJECTED = RejectedError(Operation.CREATE_FROM_CSR, 429, "Throttling", "")
NOT_ALLOWED = NotAllowedError("claim", "iot:Publish", "topic/x")


def ask(limit: recover.Limit, answer: Exception) -> None:
    """Asks AWS IoT, which answers like that."""
    with pytest.raises(type(answer)), limit.asking():
        raise answer


@pytest.mark.parametrize("answer", [REJECTED, NOT_ALLOWED])
def test_clear_no_costs_nothing(tmp_path: Path, answer: Exception) -> None:
    limit = recover.Limit(tmp_path, RecoveryState(), FakeClock())
    for _ in range(2):
        ask(limit, answer)
    assert recovery_state.read(tmp_path).asked is None


def test_answer_that_was_lost_costs_the_day(tmp_path: Path) -> None:
    clock = FakeClock()
    ask(recover.Limit(tmp_path, RecoveryState(), clock), LOST)
    # Another process goes on from the disk.
    again = recover.Limit(tmp_path, recovery_state.read(tmp_path), clock)
    clock.go(ladder.CERTIFICATE_EVERY - 1)
    with pytest.raises(RefusedError) as found, again.asking():
        raise AssertionError("AWS IoT is asked")
    assert found.value.code == "certificate-limit"
    clock.go(1)
    ask(again, LOST)


def test_no_that_gives_back_leaves_the_day_before_alone(tmp_path: Path) -> None:
    clock = FakeClock()
    before = recovery_state.stamp(clock)
    clock.go(2 * ladder.CERTIFICATE_EVERY)
    limit = recover.Limit(tmp_path, dataclasses.replace(RecoveryState(), asked=before), clock)
    ask(limit, REJECTED)
    assert limit.known.asked == before


def test_what_a_device_lacks(tmp_path: Path) -> None:
    claim = tmp_path / "claim.pem"
    bare = Settings(endpoint="a.example.com", state_dir=str(tmp_path))
    assert "provisioning" in str(recover.lacks(bare))
    templated = dataclasses.replace(bare, provisioning=Provisioning(template="fleet"))
    assert "no claim" in str(recover.lacks(templated))
    named = dataclasses.replace(
        templated, claim=Claim(certificate=str(claim), private_key=str(claim))
    )
    assert "gone" in str(recover.lacks(named))
    deleted = Claim(certificate=str(claim), private_key=str(claim), after_success="delete")
    assert "after_success" in str(recover.lacks(dataclasses.replace(named, claim=deleted)))
    claim.write_text("-----BEGIN CERTIFICATE-----")
    assert recover.lacks(named) is None
