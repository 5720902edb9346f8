"""A walk that was interrupted, and what the next start finds."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.credentials import keys
from fleet_agent.credentials.model import Generation, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, DeviceError
from support.csr import key_pem
from support.provisioning import make_plan, plan_to_adopt
from support.runners import ID, KEY, NOW, Bench


def test_an_interrupted_walk_goes_on_where_it_stopped(bench: Bench) -> None:
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


def test_making_the_key_again_does_not_shorten_the_wait(bench: Bench) -> None:
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


def test_another_plan_begins_again_unless_a_certificate_would_be_lost(bench: Bench) -> None:
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


def lose_the_key(store: Store, found: Generation) -> None:
    (store.folder(found.number) / "private.pem.key").unlink()


def damage_a_file(store: Store, found: Generation) -> None:
    (store.folder(found.number) / "issued.json").write_text("[]")


def lose_the_token(store: Store, found: Generation) -> None:
    assert found.issued is not None
    issued = dataclasses.replace(found.issued, ownership_token=None)
    store.keep_certificate(found, issued, "x", None)


@pytest.mark.parametrize("damage", [lose_the_key, damage_a_file, lose_the_token])
def test_damage_ends_the_walk_unless_it_is_to_begin_again(
    bench: Bench, damage: Callable[[Store, Generation], None]
) -> None:
    bench.gets_to("register")
    found = bench.store.pending()
    assert found is not None
    damage(bench.store, found)
    assert bench.fails(AgentError).code == "state-damaged"
    bench.provision(restart=True)


def test_a_key_made_beforehand_is_used_by_any_plan(bench: Bench) -> None:
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


def test_an_attempt_of_another_origin_is_replaced(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, plan_to_adopt())
    bench.gets_to("prove")
    bench.plan = make_plan("csr")
    assert bench.provision().credential.certificate_id == ID
