"""AWS IoT Jobs as AWS documents them: what rotation by a job leans on, over the real CLI's API and plain MQTT."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.fleets import make_unbound
from support.mqtt import Device, connected

DOCUMENT = {"operation": "rotate-credential"}


@pytest.fixture(scope="module")
def iot(sandbox: Sandbox) -> Any:
    return aws_client(sandbox, "iot")


@contextmanager
def device(sandbox: Sandbox, iot: Any, folder: Path, name: str) -> Iterator[Device]:
    """A thing, connected, subscribed to all that jobs say to it."""
    arn = iot.create_thing(thingName=name)["thingArn"]
    identity = make_unbound(sandbox, folder)
    principal = f"{arn.rpartition(':')[0]}:cert/{identity.certificate_id}"
    iot.attach_thing_principal(thingName=name, principal=principal)
    with connected(sandbox, identity, name) as one:
        base = f"$aws/things/{name}/jobs"
        wanted = ("notify-next", "start-next/+", "+/get/+", "+/update/+")
        assert set(one.subscribe(*(f"{base}/{topic}" for topic in wanted))) == {1}
        yield one


def start(iot: Any, job: str, *targets: str, **more: Any) -> None:
    iot.create_job(jobId=job, targets=targets, document=json.dumps(DOCUMENT), **more)


def ask(one: Device, topic: str, **request: Any) -> tuple[str, Any]:
    """Publishes a request; ``accepted`` or ``rejected``, and the answer. What else comes is passed over."""
    assert one.publish(topic, request) == 0
    while True:
        answered, document = one.receive()
        if answered.startswith(f"{topic}/"):
            return answered.rpartition("/")[2], document


def test_a_job_from_notice_to_success(sandbox: Sandbox, iot: Any, tmp_path: Path) -> None:
    with device(sandbox, iot, tmp_path, "jobber-1") as one:
        base = "$aws/things/jobber-1/jobs"
        arn = iot.describe_thing(thingName="jobber-1")["thingArn"]
        how, nothing = ask(one, f"{base}/$next/get")
        assert (how, [*nothing]) == ("accepted", ["timestamp"])
        start(iot, "job-1", arn)
        topic, notice = one.receive()
        assert topic == f"{base}/notify-next"
        execution = notice["execution"]
        assert (execution["jobId"], execution["status"]) == ("job-1", "QUEUED")
        assert execution["jobDocument"] == DOCUMENT
        version = execution["versionNumber"]
        again = ask(one, f"{base}/$next/get", includeJobDocument=True)
        assert (again[0], again[1]["execution"]["jobId"]) == ("accepted", "job-1")
        named = ask(one, f"{base}/job-1/get", includeJobDocument=False)
        assert "jobDocument" not in named[1]["execution"]

        update = f"{base}/job-1/update"
        how, wrong = ask(one, update, status="IN_PROGRESS", expectedVersion=version + 7)
        assert (how, wrong["code"]) == ("rejected", "VersionMismatch")
        how, state = ask(
            one,
            update,
            status="IN_PROGRESS",
            expectedVersion=version,
            statusDetails={"from": "a"},
            includeJobExecutionState=True,
        )
        assert how == "accepted"
        assert state["executionState"]["status"] == "IN_PROGRESS"
        assert state["executionState"]["statusDetails"] == {"from": "a"}
        assert ask(one, update, status="SUCCEEDED")[0] == "accepted"
        how, late = ask(one, update, status="IN_PROGRESS")
        assert (how, late["code"]) == ("rejected", "InvalidStateTransition")
        assert "execution" not in ask(one, f"{base}/$next/get")[1]
    reported = iot.describe_job_execution(jobId="job-1", thingName="jobber-1")["execution"]
    # Details that an update leaves out stay as they were.
    assert reported["statusDetails"] == {"detailsMap": {"from": "a"}}
    assert iot.describe_job(jobId="job-1")["job"]["status"] == "COMPLETED"
    listed = iot.list_job_executions_for_thing(thingName="jobber-1")["executionSummaries"]
    assert [entry["jobId"] for entry in listed] == ["job-1"]


def test_a_group_gets_it_at_its_rate_and_what_is_cancelled_is_gone(iot: Any) -> None:
    group = iot.create_thing_group(thingGroupName="jobbers")["thingGroupArn"]
    for number in range(3):
        iot.create_thing(thingName=f"member-{number}")
        iot.add_thing_to_thing_group(thingGroupName="jobbers", thingName=f"member-{number}")
    start(iot, "job-2", group, jobExecutionsRolloutConfig={"maximumPerMinute": 2})
    began = time.monotonic()

    def reached() -> list[str]:
        found = iot.list_job_executions_for_job(jobId="job-2")["executionSummaries"]
        return [entry["jobExecutionSummary"]["status"] for entry in found]

    assert reached() == ["QUEUED"] * 2
    assert time.monotonic() - began < 60
    iot.cancel_job(jobId="job-2")
    assert set(reached()) == {"CANCELED"}
    assert iot.describe_job(jobId="job-2")["job"]["status"] == "CANCELED"
    iot.delete_job_execution(jobId="job-2", thingName="member-0", executionNumber=1)
    assert len(reached()) == 1
    iot.delete_job(jobId="job-2", force=True)
    assert "job-2" not in [job["jobId"] for job in iot.list_jobs()["jobs"]]


def test_starting_the_next_takes_it(sandbox: Sandbox, iot: Any, tmp_path: Path) -> None:
    with device(sandbox, iot, tmp_path, "jobber-3") as one:
        start(iot, "job-3", iot.describe_thing(thingName="jobber-3")["thingArn"])
        how, answer = ask(one, "$aws/things/jobber-3/jobs/start-next", statusDetails={"by": "x"})
        assert (how, answer["execution"]["status"]) == ("accepted", "IN_PROGRESS")
        assert answer["execution"]["statusDetails"] == {"by": "x"}
        how, missing = ask(one, "$aws/things/jobber-3/jobs/no-such/get")
        assert (how, missing["code"]) == ("rejected", "ResourceNotFound")
