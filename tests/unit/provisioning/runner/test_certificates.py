"""Certificates and registrations that cannot be used."""

import dataclasses
from pathlib import Path

import pytest

from fleet_agent.errors import (
    DeviceError,
    UnreachableError,
)
from fleet_agent.provisioning.answers import UnusableAnswerError
from fleet_agent.provisioning.model import Operation, RejectedError
from support.certificates import END_OF_TIME, make_certificate
from support.csr import make_key
from support.identity import CREDENTIAL
from support.runners import ID, KEY, Bench, lost


def test_a_certificate_for_another_key_is_recorded_and_never_used(bench: Bench) -> None:
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
def test_an_unusable_answer_is_recorded_if_it_names_a_certificate(
    bench: Bench, certificate_id: str | None
) -> None:
    unusable = UnusableAnswerError("No.", remedy="Again.", code="answer-invalid")
    unusable.certificate_id = certificate_id
    bench.cloud.happens["create"] = [unusable]
    bench.patience = 0
    assert bench.fails(UnusableAnswerError) is unusable
    assert bench.ledger == ({ID: "foreign"} if certificate_id else {})


def test_a_refused_ownership_token_costs_one_certificate(bench: Bench) -> None:
    bench.cloud.happens["register"] = [RejectedError(Operation.REGISTER, 400, "", "bad token")]
    bench.provision()
    assert bench.asked == ["create", "register", "create", "register", "prove"]


@pytest.mark.parametrize(("age", "asks"), [(3500.0, 1), (3700.0, 2)])
@pytest.mark.parametrize("is_restarted", [True, False])
def test_the_age_of_an_ownership_token_is_that_of_its_certificate(
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


def test_a_registration_of_another_thing_found_at_a_start_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.gets_to("prove")
    bench.more["in_use"] = dataclasses.replace(CREDENTIAL, thing_name="pump-8")
    assert bench.fails(DeviceError).code == "thing-changed"
    assert bench.store.pending() is None
    assert bench.ledger == {ID: "dropped"}


def test_a_device_configuration_that_makes_a_topic_invalid_is_requested_again(
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
