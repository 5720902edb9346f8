"""What comes down, in any shape: job documents, messages of every kind, for handlers and for the agent itself."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from fleet_agent.config.subscriptions import ExecHandler, FileHandler, SocketHandler, Subscription
from fleet_agent.orders.rotation import Receipt
from fleet_agent.session.message import Outgoing
from fleet_agent.topics import limits
from support.fuzzing import TIMES
from unit.orders.conftest import Bench
from unit.orders.test_rotation import JOBS, Arrived, Device

pytestmark = pytest.mark.slow  # tens of seconds on a small machine

ROUGH = settings(
    max_examples=100 * TIMES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXT = some.text(max_size=40) | some.sampled_from(
    [
        "",
        "#",
        "a/+",
        "$aws/things/pump-7/jobs/x/update",
        "\uffff",
        "\0",
        "\ud800",
        "a" * 70_000,
        "x\ny",
    ]
)
LEAF = TEXT | some.none() | some.booleans() | some.integers() | some.floats()
ANYTHING = some.recursive(
    LEAF, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3)
)
EXECUTION = some.fixed_dictionaries(
    {},
    optional={
        "jobId": ANYTHING,
        "status": some.sampled_from(["QUEUED", "IN_PROGRESS", "FAILED"]) | ANYTHING,
        "jobDocument": some.just({"operation": "rotate-credential"})
        | some.builds(lambda to: {"operation": "move", "to": to}, some.just("there") | ANYTHING)
        | ANYTHING,
        "statusDetails": some.just({"from": "a" * 64})
        | some.builds(lambda to: {"from": "a" * 64, "to": to}, some.just("there") | ANYTHING)
        | ANYTHING,
    },
)


def raw(value: object) -> bytes:
    return json.dumps(value).encode(errors="surrogatepass")


@example(topic="notify-next", payload=raw({"execution": {"jobId": "x\n" * 40_000}}))
@given(
    topic=some.sampled_from(["notify-next", "$next/get/accepted", "j/update/accepted", "j/update/rejected"]),
    payload=some.builds(lambda one: raw({"execution": one, "executionState": one}), EXECUTION)
    | some.builds(raw, ANYTHING)
    | some.binary(max_size=200),
)  # fmt: skip
@ROUGH
def test_job_documents(topic: str, payload: bytes) -> None:
    device = Device()
    sent: list[Outgoing] = []
    device.orders._send = sent.append
    receipt = device.orders.take(Arrived(f"{JOBS}/{topic}", payload))
    assert receipt is not Receipt.NOT_OURS
    assert device.orders.destination in (None, "there")
    for message in sent + device.orders.moved():
        assert limits.topic_fault(message.topic) is None
        assert len(message.payload) <= 128 * 1024


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("orders")
    found = Bench(folder)
    found.listen(
        Subscription(topic="cmd/+/file", file=FileHandler(path=str(folder / "x-{1}"))),
        Subscription(topic="cmd/exec", exec=ExecHandler(argv=("true",)), deduplicate="payload:id"),
        Subscription(
            topic="cmd/#", socket=SocketHandler(path=str(folder / "nobody")), retained=True
        ),
    )
    yield found
    found.close()


MESSAGE = some.fixed_dictionaries(
    {
        "payload": some.binary(max_size=200)
        | some.builds(raw, some.dictionaries(some.just("id"), ANYTHING)),
        "response_topic": some.none() | TEXT,
        "correlation_data": some.none() | some.binary(max_size=100) | some.just(bytes(65_535)),
        "user_properties": some.lists(some.tuples(TEXT, TEXT), max_size=3).map(tuple),
        "retain": some.booleans(),
        "qos": some.integers(0, 1),
    }
)


@given(level=TEXT, kind=some.sampled_from(["file", "exec", "other"]), message=MESSAGE)
@ROUGH
def test_messages(bench: Bench, level: str, kind: str, message: dict[str, Any]) -> None:
    acknowledged: list[int] = []
    topic = {"file": f"cmd/{level}/file", "exec": "cmd/exec", "other": f"cmd/{level}"}[kind]
    bench.answers.clear()
    bench.send(topic, acknowledge=lambda: acknowledged.append(1), **message)
    bench.turn(lambda: all(one._current is None for one in bench.commands._handlers()))
    assert len(acknowledged) == 1
    for answer in bench.answers:
        assert limits.topic_fault(answer.topic) is None
