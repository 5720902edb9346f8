"""Which faults act on which call, and what they come to. No sandbox needed."""

from typing import Any

import pytest

from iot_sandbox.fault_kinds import KINDS, OPERATIONS, FaultError
from iot_sandbox.faults import Faults, Plan, Request

CREATE = Request("create-keys", "claim-1", ("$aws/certificates/create/json",))


def publish(topic: str, *, provisioning: bool = False) -> Request:
    return Request("publish", "thing-1", (topic,), is_provisioning=provisioning)


def test_without_faults_a_call_is_applied_and_answered_once() -> None:
    assert Faults().plan(CREATE) == Plan()


def test_a_fault_acts_on_the_first_call_by_default() -> None:
    faults = Faults()
    faults.add("create-keys", "lose-answer")
    assert [faults.plan(CREATE).answers for _ in range(3)] == [0, 1, 1]


def test_calls_are_counted_from_when_the_fault_was_set() -> None:
    faults = Faults()
    faults.plan(CREATE)
    faults.add("create-keys", "lose-answer", calls=[1, 3])
    assert [faults.plan(CREATE).answers for _ in range(4)] == [0, 1, 0, 1]


def test_calls_of_other_clients_and_operations_do_not_count() -> None:
    faults = Faults()
    faults.add("create-keys", "lose-answer", client_id="claim-*")
    faults.plan(Request("create-keys", "somebody"))
    faults.plan(Request("register-thing", "claim-1"))
    assert faults.plan(CREATE).answers == 0


def test_a_publish_fault_leaves_provisioning_alone_unless_its_topic_is_named() -> None:
    faults = Faults()
    faults.add("publish", "reject", calls="every")
    assert faults.plan(publish("$aws/certificates/create/json", provisioning=True)) == Plan()
    assert faults.plan(publish("dt/a")).refusal is not None
    faults.add("publish", "lose-answer", topic="$aws/*")
    assert faults.plan(publish("$aws/certificates/create/json", provisioning=True)).answers == 0


def test_a_topic_may_be_any_of_several_filters() -> None:
    faults = Faults()
    faults.add("subscribe", "reject", topic="cmd/*")
    assert faults.plan(Request("subscribe", "a", ("x", "cmd/a/#"))).refusal is not None


def test_a_quota_is_per_second() -> None:
    now = 100.0
    faults = Faults(lambda: now)
    faults.add("create-keys", "quota", per_second=2)
    assert [faults.plan(CREATE).refusal is None for _ in range(3)] == [True, True, False]
    now = 100.9
    assert faults.plan(CREATE).refusal == {
        "status_code": 429, "error_code": "Throttling", "message": "Rate exceeded",
    }  # fmt: skip
    now = 101.0
    assert [faults.plan(CREATE).refusal is None for _ in range(3)] == [True, True, False]


def test_a_quota_with_a_burst_is_a_bucket_that_fills() -> None:
    now = 100.0
    faults = Faults(lambda: now)
    faults.add("create-keys", "quota", per_second=2, burst=3)

    def taken() -> list[bool]:
        return [faults.plan(CREATE).refusal is None for _ in range(4)]

    assert taken() == [True, True, True, False]
    now = 100.4
    assert not any(taken())
    now = 101.0
    assert taken() == [True, True, False, False]
    now = 200.0
    assert taken() == [True, True, True, False]


@pytest.mark.parametrize(
    ("age", "refused"), [(None, False), (0.0, True), (1.9, True), (2.0, False)]
)
def test_a_policy_spreads_after_so_many_seconds(age: float | None, *, refused: bool) -> None:
    faults = Faults()
    faults.add("connect", "policy-spread", seconds=2)
    plan = faults.plan(Request("connect", "thing-1", registered_for=age))
    assert plan.refusal == ({"reason_code": 135} if refused else None)


def test_close_before_wins_over_close_after_and_losing_over_answering_twice() -> None:
    faults = Faults()
    for kind in ("close-after", "close-before", "answer-twice", "lose-answer"):
        faults.add("create-keys", kind)
    plan = faults.plan(CREATE)
    assert (plan.close, plan.answers) == ("before", 0)


def test_delays_add_up() -> None:
    faults = Faults()
    faults.add("create-keys", "delay", seconds=1)
    faults.add("create-keys", "delay", seconds=0.5)
    assert faults.plan(CREATE).delay == 1.5


def test_the_last_word_on_token_reuse_counts() -> None:
    faults = Faults()
    request = Request("register-thing", "claim-1")
    assert faults.plan(request).token_reuse is None
    faults.add("register-thing", "token-reuse", mode="reject")
    faults.add("register-thing", "token-reuse", mode="reject-if-active")
    assert [faults.plan(request).token_reuse for _ in range(2)] == ["reject-if-active"] * 2


def test_a_fault_can_be_taken_back_once() -> None:
    faults = Faults()
    number = faults.add("create-keys", "lose-answer").number
    assert faults.remove(number)
    assert not faults.remove(number)
    assert faults.plan(CREATE) == Plan()


def test_numbers_are_not_used_twice() -> None:
    faults = Faults()
    first = faults.add("create-keys", "lose-answer").number
    faults.clear()
    assert faults.add("create-keys", "lose-answer").number == first + 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_set_where_it_makes_sense_and_nowhere_else(kind: str) -> None:
    needed: dict[str, Any] = {"seconds": 1, "per_second": 1, "bytes": 1}
    needed |= {"payload": "", "fields": ["a"]}
    parameters = {k: needed[k] for k, v in KINDS[kind].parameters.items() if v is ...}
    for operation in OPERATIONS:
        if operation in KINDS[kind].operations:
            assert Faults().add(operation, kind, **parameters).kind == kind
        else:
            with pytest.raises(FaultError, match=f"{kind} is for "):
                Faults().add(operation, kind, **parameters)


@pytest.mark.parametrize("seconds", [-1, True, "1", float("inf"), float("nan")])
def test_seconds_that_are_none_are_refused(seconds: object) -> None:
    with pytest.raises(FaultError, match="seconds is a number from 0 up"):
        Faults().add("connect", "delay", seconds=seconds)
