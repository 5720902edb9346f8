"""JSON of strangers: what is read can be written out, shown and reckoned with, wherever that is done."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from awsiot import iotidentity

from fleet_agent import foreign
from fleet_agent.config.orders import Commands as CommandSettings
from fleet_agent.config.orders import Jobs
from fleet_agent.orders.answer import UNDER_WAY, Answers
from fleet_agent.orders.commands import Commands
from fleet_agent.orders.handlers.exec import environment
from fleet_agent.orders.jobs import client
from fleet_agent.orders.jobs.document import STEPS
from fleet_agent.orders.jobs.execution import DETAIL, execution, noticed
from fleet_agent.orders.jobs.progress import Done, Progress, ProgressFile
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Result, failure
from fleet_agent.provisioning import answers
from fleet_agent.provisioning.answers import UnusableAnswerError
from fleet_agent.provisioning.model import Operation
from fleet_agent.session.message import Outgoing
from unit.orders.conftest import Arriving, Bench
from unit.orders.device import JOBS, Device, running

BASE = "$aws/commands/things/pump-7/executions"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [1, foreign.DEPTH - 1])
def test_what_is_nested_within_reason_is_read(depth: int) -> None:
    assert foreign.read_object(b'{"a": %s}' % nested(depth).encode()) is not None


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"{", b"\xff", b'{"a": %s}' % nested(foreign.DEPTH).encode(), b"[" * 100_000],
)
def test_what_is_no_object_or_too_deep_is_none(payload: bytes) -> None:
    assert foreign.read_object(payload) is None


def test_a_text_without_an_end_is_looked_through_once() -> None:
    before = time.process_time()
    assert foreign.read_answer(b'"' + b'\\"' * 50_000) == {}
    assert time.process_time() - before < 2


def test_no_depth_of_a_jobs_document_ends_the_agent(tmp_path: Path) -> None:
    """The parser took what, some calls further in, no stack was left for to write it out again."""
    device = Device(
        tmp_path, Jobs(enabled=True, operations={"log": "log"}), {"log": running("true")}
    )
    sent: list[dict[str, Any]] = []
    device.jobs._client._send = lambda message: sent.append(json.loads(message.payload))
    for depth in range(sys.getrecursionlimit() - 150, sys.getrecursionlimit()):
        device.jobs.connected()
        device.jobs.take(
            Arriving(
                topic=f"{JOBS}/start-next/accepted",
                payload=b'{"clientToken": "%s", "execution": {"jobId": "j%d", "status": %s, "jobDocument":'
                b' {"operation": "log", "x": %s}}}'
                % (
                    sent[-1]["clientToken"].encode(),
                    depth,
                    nested(depth).encode(),
                    nested(depth).encode(),
                ),
            )
        )
    device.close()


def test_no_depth_of_a_command_ends_the_agent(bench: Bench) -> None:
    commands = Commands(
        CommandSettings(enabled=True), "pump-7", bench.registry.named, lambda _: None, bench.clock
    )
    for depth in range(sys.getrecursionlimit() - 150, sys.getrecursionlimit()):
        payload = b'{"operation": %s}' % nested(depth).encode()
        commands.take(Arriving(topic=f"{BASE}/c{depth}/request/json", payload=payload))


def test_numbers_without_measure_are_none() -> None:
    nines = "9" * 4300
    found = noticed(
        f'{{"execution": {{"jobId": "a", "versionNumber": {nines}, "executionNumber": {nines},'
        f'"approximateSecondsBeforeTimedOut": {nines}}}}}'.encode()
    )
    assert found is not None
    assert (found.version, found.number, found.seconds) == (None, 1, None)
    assert execution({"jobId": "a", "versionNumber": 7}) == execution(
        {"jobId": "a", "versionNumber": 7, "status": None}
    )


def test_a_cloud_without_jobs_is_asked_for_years() -> None:
    """The thousandth doubling, after a week of no answer, was not a number any more."""
    assert client._patience(1) == client.LIMIT
    assert client._patience(7) == client._patience(100_000) == 640


def test_notices_during_a_job_do_not_add_up(tmp_path: Path) -> None:
    device = Device(
        tmp_path, Jobs(enabled=True, operations={"log": "log"}), {"log": running("sleep", "60")}
    )
    device.connect()
    device.cloud.create("a", {"operation": "log"})
    device.settle()
    device.cloud.is_deaf = True
    for _ in range(1000):
        device.jobs.take(Arriving(topic=f"{JOBS}/notify", payload=b"{}"))
    assert len(device.jobs._client._requests) <= 2
    device.close()


def test_answers_that_are_dropped_at_once_are_no_stack_of_calls() -> None:
    """So it is on a topic whose answers ended the connection: a thousand refused messages were enough."""
    under_way: list[Any] = []
    forgotten: list[int] = []

    def publish(message: Outgoing, on_end: Any) -> None:
        if message.topic == "bad":
            on_end()
        else:
            under_way.append(on_end)

    given = Answers(publish, ())
    for topic, count in (("good", UNDER_WAY), ("bad", 2000)):
        for _ in range(count):
            order = Order(payload=b"", response_topic=topic)
            given.report("h", order, failure("busy", ""), lambda: forgotten.append(1))
    under_way[0]()
    assert len(forgotten) == 2001


def test_a_registration_of_any_depth_is_refused_as_an_answer() -> None:
    for depth in range(sys.getrecursionlimit() - 150, sys.getrecursionlimit()):
        payload = b'{"thingName": "t", "deviceConfiguration": {"a": %s}}' % nested(depth).encode()
        with pytest.raises(UnusableAnswerError):
            answers.parsed(iotidentity.RegisterThingResponse, payload, Operation.REGISTER)


def test_the_longest_job_is_known_after_a_restart(tmp_path: Path) -> None:
    """What a hundred steps print took more room on disk than was read again."""
    output = "\N{PILE OF POO}" * DETAIL
    step = Done(result=Result.DONE, status=0, reason=output[:200], stdout=output, stderr=output)
    longest = Progress(job="j", number=1, steps=(step,) * STEPS)
    kept = ProgressFile(tmp_path / "orders" / "job.json", lambda _error: None)
    kept.write(longest)
    assert kept.read() == longest


@pytest.mark.parametrize("identity", ["a\0b", "\ud800"])
def test_an_id_that_no_environment_carries_is_left_out(identity: str) -> None:
    found = environment(Order(topic="t", payload=b"", identity=identity), "h")
    assert found == {"FLEET_AGENT_TOPIC": "t", "FLEET_AGENT_HANDLER": "h"}
