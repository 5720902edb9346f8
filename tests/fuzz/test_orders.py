"""What comes down, in any shape: job documents, messages of every kind, for handlers and for the agent itself."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from fleet_agent.config.handlers import ExecHandler, FileHandler, SocketHandler
from fleet_agent.config.orders import Jobs
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.orders.jobs import document
from fleet_agent.orders.jobs.document import UnfitError
from fleet_agent.orders.router import Receipt
from fleet_agent.topics import limits
from support.fuzzing import TIMES
from unit.orders.conftest import Bench
from unit.orders.device import JOBS, Device, running

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
        "jobDocument": some.just({"operation": "rotate-credential"}) | ANYTHING,
        "statusDetails": some.just({"from": "a" * 64}) | ANYTHING,
    },
)


def raw(value: object) -> bytes:
    return json.dumps(value).encode(errors="surrogatepass")


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    settings = Jobs(enabled=True, operations={"x": "x"}, run_command=True)
    found = Device(
        tmp_path_factory.mktemp("jobs"), settings, {"x": running("true")}, rotation=True
    )
    yield found
    found.close()


PATHS = [
    "notify-next",
    "notify",
    "start-next/accepted",
    "j/update/accepted",
    "j/update/rejected",
    "j/get/accepted",
]


@example(path="notify-next", payload=raw({"execution": {"jobId": "x\n" * 40_000}}))
@given(
    path=some.sampled_from(PATHS),
    payload=some.builds(lambda one: raw({"execution": one, "executionState": one}), EXECUTION)
    | some.builds(raw, ANYTHING)
    | some.binary(max_size=200),
)
@ROUGH
def test_what_jobs_may_say(device: Device, path: str, payload: bytes) -> None:
    device.connect()
    assert device.hear(f"{JOBS}/{path}", payload) is Receipt.TAKEN
    device.settle()
    for topic in device.cloud.asked:
        assert limits.topic_fault(f"{JOBS}/{topic}") is None
    device.cloud.asked.clear()


ACTION = some.fixed_dictionaries(
    {},
    optional={
        "name": ANYTHING,
        "type": some.sampled_from(["runHandler", "runCommand"]) | ANYTHING,
        "input": some.fixed_dictionaries(
            {},
            optional={
                "handler": some.just("x") | ANYTHING,
                "args": ANYTHING,
                "path": ANYTHING,
                "command": ANYTHING,
            },
        )
        | ANYTHING,
        "runAsUser": ANYTHING,
        "ignoreStepFailure": ANYTHING,
        "includeStdOut": ANYTHING,
    },
)
STEP = some.fixed_dictionaries({"action": ACTION | ANYTHING}) | ANYTHING
DOCUMENT = some.fixed_dictionaries(
    {},
    optional={
        "operation": some.just("x") | ANYTHING,
        "args": ANYTHING,
        "steps": some.lists(STEP, max_size=3) | ANYTHING,
        "finalStep": STEP,
        "conditions": some.lists(ANYTHING, max_size=2) | ANYTHING,
        "path": ANYTHING,
    },
)


@given(found=DOCUMENT)
@ROUGH
def test_job_documents(found: dict[str, Any]) -> None:
    settings = Jobs(enabled=True, operations={"x": "x"}, run_command=True)
    document.leaves(found, [{"operation": "y"}, {"a": "b"}])
    try:
        plan = document.plan(found, settings, lambda: {"a": "b"})
    except UnfitError:
        return
    assert plan.steps
    for step in plan.steps:
        assert all("\0" not in argument for argument in step.arguments)


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
    bench.turn(lambda: all(each._current is None for each in bench.registry))
    assert len(acknowledged) == 1
    for answer in bench.answers:
        assert limits.topic_fault(answer.topic) is None
