"""AWS IoT Jobs: taken in order, carried out once, ended when they are not wanted any more."""

import json
import math
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.handlers import FileHandler, Handler, SocketHandler
from fleet_agent.config.orders import Jobs
from fleet_agent.orders.jobs import jobs
from fleet_agent.orders.jobs.document import STEPS
from fleet_agent.orders.order import JOB, Order
from fleet_agent.orders.outcome import Outcome
from unit.orders.cloud import managed, steps
from unit.orders.conftest import Program
from unit.orders.device import JOBS, Device, running

Make = Callable[..., Device]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Device] = []

    def one(settings: Jobs | None = None, **handlers: Any) -> Device:
        found = Device(tmp_path, settings, handlers)
        made.append(found)
        return found

    yield one
    for device in made:
        device.close()


SETTINGS = Jobs(enabled=True, operations={"log": "log", "fail.sh": "fail", "show.sh": "show"})


@pytest.fixture
def device(make: Make, tmp_path: Path) -> Device:
    log = tmp_path / "log"
    found = make(
        SETTINGS,
        log=running("sh", "-c", f'echo "$@" >>{log}; cat >>{tmp_path}/stdin', "log"),
        fail=running("sh", "-c", "echo tried; echo no >&2; exit 3"),
        show=running("sh", "-c", r'printf "one\n\ttwo\033[31m\n\n"; printf "%s\n" "$@"', "show"),
    )
    found.connect()
    found.settle()
    return found


def test_a_job_is_taken_carried_out_and_its_outcome_reported(
    device: Device, tmp_path: Path
) -> None:
    document = {"operation": "log", "args": ["a b", 7], "more": True}
    assert device.does(document) == (
        "SUCCEEDED",
        {"step": "1 of 1: log", "outcome": "done", "exit-status": "0"},
    )
    assert (tmp_path / "log").read_text() == "a b 7\n"
    assert json.loads((tmp_path / "stdin").read_text()) == document
    assert device.cloud.jobs[0].said[0] == ("IN_PROGRESS", {"step": "1 of 1: log"})
    assert not (tmp_path / "orders" / "job.json").exists()
    assert list(device.shared.last)[-1]["outcome"] == "done"


def test_details_are_within_what_aws_takes(device: Device) -> None:
    status, details = device.does(managed("Show", "show.sh", "x" * 3000, "é\u2028\x07end"))
    assert status == "SUCCEEDED"
    assert details["stdout"].endswith("x | é |  end")
    assert len(details["stdout"]) <= 1024
    status, details = device.does(managed("Show", "show.sh"), "j2")
    assert details["stdout"] == "one | two [31m"


def test_a_step_that_fails_ends_the_job_with_the_tail_of_its_stderr(device: Device) -> None:
    document = {"version": "1.0", "steps": [*steps(("A", "fail.sh", ()), ("B", "log", ()))]}
    status, details = device.does(document)
    assert status == "FAILED"
    assert details == {
        "step": "1 of 2: A",
        "outcome": "failed",
        "exit-status": "3",
        "reason": "sh ended with exit status 3: no",
        "stderr": "no",
        "stdout": "tried",
    }


@pytest.mark.parametrize("said", ["true", True])
def test_a_failure_may_be_ignored_and_the_final_step_follows(
    device: Device, tmp_path: Path, said: object
) -> None:
    document = {
        "version": "1.0",
        "steps": [
            *steps(("A", "fail.sh", ()), ignoreStepFailure=said),
            *steps(("B", "log", ("b",))),
        ],
        "finalStep": next(steps(("C", "log", ("c",)))),
    }
    assert device.does(document)[0] == "SUCCEEDED"
    assert (tmp_path / "log").read_text() == "b\nc\n"


UNFIT: list[list[Any]] = [["a\0"], ["\ud800"], [None], [{}]]


def nested(depth: int, document: dict[str, Any]) -> dict[str, Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    # A bracket in a text is none.
    return document | {"x": ']}\\"{', "deep": found}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"operation": "x"}, 'the operation "x" is not in jobs.operations'),
        ({}, 'the job document has neither "steps" nor an "operation" of jobs.operations'),
        (nested(80, {"operation": "log"}), "the job document is not a JSON object, or is nested too deeply"),
        (nested(500, {}), "the job document is not a JSON object, or is nested too deeply"),
        *(
            (managed("A", "log", *wrong), 'the arguments of "A" are not a list of strings that a program can take')
            for wrong in UNFIT
        ),
        (managed("A", "other.sh"), 'the handler "other.sh" is not in jobs.operations'),
        ({"steps": []}, '"steps" is not a list of 1 to 100'),
        ({"steps": [{"action": {"name": "A", "type": "x"}}]}, 'the step "A" has an unknown type: x'),
        (
            {"steps": [{"action": {"name": "A", "type": "runCommand", "input": {"command": "touch,/x"}}}]},
            'the step "A" runs a command, which this device allows only with jobs: {run_command: true}',
        ),
        (
            {"steps": [*steps(("A", "log", ()), runAsUser="nobody-else")]},
            'the step "A" should run as nobody-else, but this agent runs as root',
        ),
        (
            managed("A", "log", conditions=[{"key": "site", "value": ["York"], "type": "stringEqual"}]),
            'a condition is not met: site is "Leeds" here',
        ),
        (
            managed("A", "log", conditions=[{"key": "size", "value": ["York"]}]),
            'the condition "size" is unknown; known are architecture, operatingSystem, site, thingName',
        ),
    ],
)  # fmt: skip
def test_what_is_not_for_this_device_is_rejected_in_words(
    device: Device, document: Any, reason: str
) -> None:
    if os.geteuid() != 0 and "nobody-else" in reason:
        pytest.skip("the agent's user is another one")
    assert device.does(document) == ("REJECTED", {"reason": reason})


def test_what_aws_leaves_of_an_omitted_user_and_a_met_condition_are_fine(device: Device) -> None:
    conditions = [{"key": "thingName", "value": ["pump-7"], "type": "stringEqual"}]
    for number, user in enumerate(["", "${aws:iot:parameter:runAsUser}", " "]):
        document = {"steps": [*steps(("A", "log", ()), runAsUser=user)], "conditions": conditions}
        assert device.does(document, f"j{number}")[0] == "SUCCEEDED"


def test_a_command_is_split_at_commas_and_runs_without_a_shell(make: Make) -> None:
    device = make(Jobs(enabled=True, run_command=True))
    device.connect()

    def ran(command: str, name: str) -> tuple[str, dict[str, str]]:
        action = {"name": "Run-Command", "type": "runCommand", "input": {"command": command}}
        return device.does({"version": "1.0", "steps": [{"action": action}]}, name)

    status, details = ran(r"printf,%s|, a\,b ,$(id)", "j1")
    assert (status, details["stdout"]) == ("SUCCEEDED", "a,b|$(id)|")
    status, details = ran("echo ok", "j2")
    assert (status, details["reason"][:30]) == ("REJECTED", 'the step "Run-Command" has no ')
    assert ran("false", "j3")[0] == "FAILED"
    assert ran("echo,a\0b", "j4")[0] == "REJECTED"
    assert list(device.registry.counters) == ["run-command"]


def test_jobs_are_carried_out_in_order_and_what_was_missed_is_asked_for(
    device: Device, tmp_path: Path
) -> None:
    device.disconnect()
    jobs = [device.cloud.create(f"j{n}", {"operation": "log", "args": [n]}) for n in range(4)]
    device.connect()
    device.turn(lambda: jobs[-1].status == "SUCCEEDED")
    assert (tmp_path / "log").read_text() == "0\n1\n2\n3\n"


def sleeping(tmp_path: Path) -> Any:
    return running(
        "sh", "-c", f"echo $$ >>{tmp_path}/pids; test -e {tmp_path}/go || exec sleep 60"
    )


def pids(tmp_path: Path) -> list[int]:
    path = tmp_path / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_canceled_while_it_runs_the_program_is_ended_and_the_next_job_follows(
    make: Make, tmp_path: Path
) -> None:
    device = make(Jobs(enabled=True, operations={"sleep": "sleep"}), sleep=sleeping(tmp_path))
    device.connect()
    job = device.cloud.create("j1", {"operation": "sleep"})
    after = device.cloud.create("j2", {"operation": "sleep"})
    device.turn(lambda: pids(tmp_path))
    (tmp_path / "go").touch()
    device.cloud.cancel(job)
    device.turn(lambda: after.status == "SUCCEEDED")
    with pytest.raises(ProcessLookupError):
        os.kill(pids(tmp_path)[0], 0)
    assert job.status == "CANCELED"
    assert device.registry.counters["sleep"].failed == 0


def test_canceled_while_the_device_was_away_it_is_ended_on_return(
    make: Make, tmp_path: Path
) -> None:
    device = make(Jobs(enabled=True, operations={"sleep": "sleep"}), sleep=sleeping(tmp_path))
    device.connect()
    job = device.cloud.create("j1", {"operation": "sleep"})
    device.turn(lambda: pids(tmp_path))
    device.disconnect()
    device.cloud.cancel(job)
    device.connect()
    device.settle()
    assert not next(iter(device.registry)).keeps("job:j1:1:0")
    assert not (tmp_path / "orders" / "job.json").exists()


def test_what_a_kill_interrupts_is_not_begun_again_and_what_waited_goes_on(
    make: Make, tmp_path: Path
) -> None:
    device = make(Jobs(enabled=True, operations={"sleep": "sleep"}), sleep=sleeping(tmp_path))
    device.connect()
    job = device.cloud.create("j1", {"operation": "sleep"})
    after = device.cloud.create("j2", {"operation": "sleep"})
    device.turn(lambda: pids(tmp_path))
    device.die()
    (tmp_path / "go").touch()
    device.live()
    device.connect()
    device.turn(lambda: after.status == "SUCCEEDED")
    assert (job.status, job.details["reason"]) == (
        "FAILED",
        "the agent ended while it was carried out; it is not started again",
    )
    assert len(pids(tmp_path)) == 2


def test_a_job_whose_end_was_not_heard_is_reported_again_and_not_done_again(
    device: Device, tmp_path: Path
) -> None:
    job = device.cloud.create("j1", {"operation": "log", "args": ["once"]})
    device.turn(
        lambda: device.registry.counters["log"].waiting == 0 and job.status == "IN_PROGRESS"
    )
    device.cloud.is_deaf = True
    device.turn(lambda: device.jobs._progress and device.jobs._progress.end)
    device.die()
    device.live()
    device.cloud.is_deaf = False
    device.connect()
    device.turn(lambda: job.status == "SUCCEEDED")
    device.settle()
    assert (tmp_path / "log").read_text() == "once\n"


def test_a_version_that_is_not_the_expected_one_is_corrected(device: Device) -> None:
    job = device.cloud.create("j1", managed("A", "show.sh"))
    device.turn(lambda: job.said)
    job.version += 3  # somebody else's update
    device.turn(lambda: job.status == "SUCCEEDED")


def test_a_job_that_somebody_else_changes_is_begun_all_the_same(make: Make) -> None:
    jobs = Jobs(enabled=True, operations={"log": "log"}, leave=({"operation": "firmware"},))
    device = make(jobs, log=running("true"))
    device.connect()
    device.cloud.refusals["update"] = ["VersionMismatch", "VersionMismatch"]
    assert device.does({"operation": "log"})[0] == "SUCCEEDED"


def test_details_that_aws_refuses_are_left_out(device: Device) -> None:
    device.cloud.refusals["update"] = ["InvalidRequest", "InvalidRequest"]
    assert device.does({"operation": "log"}) == ("SUCCEEDED", {})


def test_a_job_that_is_over_when_its_end_is_said_is_dropped(device: Device) -> None:
    job = device.cloud.create("j1", managed("A", "show.sh"))
    device.turn(lambda: job.said)
    job.status = "TIMED_OUT"
    assert device.does({"operation": "log"}, "j2")[0] == "SUCCEEDED"
    assert job.status == "TIMED_OUT"


def test_jobs_of_others_are_left_without_blocking_ours(make: Make, tmp_path: Path) -> None:
    log = tmp_path / "log"
    device = make(
        Jobs(
            enabled=True,
            operations={"log": "log"},
            leave=({"operation": "firmware"}, {"kind": "theirs", "number": "7"}),
        ),
        log=running("sh", "-c", f'echo "$1" >>{log}', "log"),
    )
    device.cloud.notifies_all = True
    theirs = [
        device.cloud.create("t1", {"operation": "firmware", "url": "x"}),
        device.cloud.create("t2", {"kind": "theirs", "number": 7, "operation": "log"}),
    ]
    device.connect()
    ours = device.cloud.create("j1", {"operation": "log", "args": ["1"]})
    device.turn(lambda: ours.status == "SUCCEEDED")
    assert [job.status for job in theirs] == ["QUEUED", "QUEUED"]
    assert "start-next" not in device.cloud.asked
    assert device.does({"operation": "unknown"}, "j2")[0] == "REJECTED"
    theirs[0].status = "IN_PROGRESS"  # the other program takes it
    assert device.does({"operation": "log", "args": ["2"]}, "j3")[0] == "SUCCEEDED"
    assert log.read_text() == "1\n2\n"


def test_what_is_not_answered_is_asked_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet_agent.orders.jobs.client.LIMIT", 0.05)
    device = make(Jobs(enabled=True, operations={"t": "t"}), t=running("true"))
    job = device.cloud.create("j1", {"operation": "t"})
    device.cloud.refusals["start-next"] = ["RequestThrottled"]
    device.cloud.is_deaf = True
    device.connect()
    until = device.clock.monotonic() + 0.2
    device.turn(lambda: device.clock.monotonic() > until)
    device.cloud.is_deaf = False
    device.turn(lambda: job.status == "SUCCEEDED")


def test_a_job_whose_notice_was_lost_is_found_in_time(device: Device) -> None:
    """A policy without iot:Receive lets nothing through, and nothing shows that: it was found with the next connect."""
    device.cloud.is_deaf = True
    job = device.cloud.create("j1", {"operation": "log"})
    device.settle()
    device.cloud.is_deaf = False
    device.clock.go(jobs.LOOK_EVERY - 60)
    device.jobs.act()
    device.settle()
    assert job.status == "QUEUED"
    device.clock.go(60)
    device.turn(lambda: job.status == "SUCCEEDED")
    device.disconnect()
    assert device.jobs.due == math.inf


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_topic_filter_that_is_granted_late_lets_the_missed_job_be_found(
    make: Make, is_asked: bool
) -> None:
    """At once, whether an answer was kept away as well, or the notice alone."""
    device = make(Jobs(enabled=True, operations={"t": "t"}), t=running("true"))
    device.cloud.is_deaf = is_asked
    device.connect()
    device.settle()
    device.cloud.is_deaf = True
    job = device.cloud.create("j1", {"operation": "t"})
    device.settle()
    device.cloud.is_deaf = False
    device.jobs.granted()
    device.turn(lambda: job.status == "SUCCEEDED")


@pytest.mark.parametrize("name", ["target", "a/../b/target"])
def test_as_many_steps_as_a_job_may_have_are_no_stack_of_calls(
    make: Make, tmp_path: Path, name: str
) -> None:
    """A file is written, or refused, at once: no step may begin within the end of the one before."""
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / "folder" / name)
    device = make(
        Jobs(enabled=True, operations={"write": "write"}),
        write=Handler(file=FileHandler(path=path)),
    )
    device.connect()
    device.settle()
    written = [(f"S{number}", "write", ()) for number in range(STEPS)]
    document = {"steps": [*steps(*written, ignoreStepFailure="true")]}
    status, details = device.does(document)
    assert (status, details["step"]) == ("SUCCEEDED", f"{STEPS} of {STEPS}: S{STEPS - 1}")


# Without processes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def asking(make: Make, program: Program, tmp_path: Path) -> Device:
    """``ask`` takes until the program answers, ``write`` is done at once."""
    names = {"ask": "ask", "write": "write"}
    found = make(
        Jobs(enabled=True, operations=names, leave=({"operation": "firmware"},)),
        ask=Handler(socket=SocketHandler(path=str(program.path), timeout=90.0)),
        write=Handler(file=FileHandler(path=str(tmp_path / "written"))),
    )
    found.connect()
    found.settle()
    return found


ASK, WRITE = {"operation": "ask"}, {"operation": "write"}


def updates(device: Device) -> list[dict[str, Any]]:
    said = zip(device.cloud.asked, device.cloud.requests, strict=True)
    return [request for path, request in said if path.endswith("/update")]


def answers(device: Device, connection: socket.socket) -> None:
    connection.send(b"{}")
    connection.close()
    device.turn(lambda: not device.mailbox._watched)
    device.settle()


def test_what_the_program_and_aws_learn_of_a_step(asking: Device, program: Program) -> None:
    job = asking.cloud.create("j1", {**ASK, "args": ["a"]})
    asking.settle()
    connection, packet = program.accept()
    assert packet.pop("payload")
    assert packet == {
        "handler": "ask",
        "topic": f"{JOBS}/j1",
        "content_type": "application/json",
        "id": "job:j1:1:0",
        "arguments": ["a"],
    }
    answers(asking, connection)
    assert job.status == "SUCCEEDED"
    said = {"status": "IN_PROGRESS", "executionNumber": 1, "includeJobExecutionState": True}
    first, second, _ = updates(asking)
    assert first.items() >= {**said, "expectedVersion": 1}.items()
    assert "stepTimeoutInMinutes" not in first
    # Its 90 seconds, and a minute.
    assert second.items() >= {**said, "expectedVersion": 2, "stepTimeoutInMinutes": 3}.items()


def test_a_step_has_no_more_time_than_its_job(asking: Device, program: Program) -> None:
    job = asking.cloud.create("j1", ASK)
    job.seconds = 50
    asking.settle()
    connection, _ = program.accept()
    assert 49 < asking.registry.due - asking.clock.monotonic() <= 50
    asking.clock.go(50)
    asking.turn(lambda: job.status == "FAILED")
    connection.close()
    assert job.details["outcome"] == "timed out"


@pytest.mark.parametrize("notice", ["notify", "notify-next", "of another", "nothing"])
def test_a_notice_ends_no_job_that_is_wanted(
    asking: Device, program: Program, notice: str
) -> None:
    job = asking.cloud.create("j1", ASK)
    asking.settle()
    before = len(asking.cloud.asked)
    connection, _ = program.accept()
    payloads: dict[str, tuple[str, Any]] = {
        "notify": ("notify", {"jobs": {}}),
        "notify-next": ("notify-next", {"execution": job.shown}),
        "of another": ("notify-next", {"execution": {**job.shown, "jobId": "j2"}}),
        "nothing": ("notify-next", {}),
    }
    path, values = payloads[notice]
    asking.hear(f"{JOBS}/{path}", json.dumps(values).encode())
    asking.settle()
    assert asking.cloud.asked[before:] == ([] if notice == "notify-next" else ["j1/get"])
    if notice != "notify-next":
        assert asking.cloud.requests[-1]["includeJobDocument"] is False
    answers(asking, connection)
    assert job.status == "SUCCEEDED"


def test_a_cancellation_whose_notice_was_lost_is_found_when_a_filter_is_granted_late(
    asking: Device, program: Program
) -> None:
    job = asking.cloud.create("j1", ASK)
    asking.settle()
    connection, _ = program.accept()
    asking.cloud.is_deaf = True
    asking.cloud.cancel(job)
    asking.settle()
    asking.cloud.is_deaf = False
    asking.jobs.granted()
    asking.turn(lambda: not asking.mailbox._watched)
    assert connection.recv(1) == b""
    connection.close()


@pytest.mark.parametrize("how", ["gone", "canceled", "tried again"])
def test_one_that_is_over_in_the_cloud_is_ended_and_the_next_one_begun(
    asking: Device, program: Program, how: str
) -> None:
    job = asking.cloud.create("j1", ASK)
    after = asking.cloud.create("j2", WRITE)
    asking.settle()
    connection, _ = program.accept()
    if how == "gone":
        asking.cloud.jobs.remove(job)
    elif how == "canceled":
        job.status = "CANCELED"
    else:
        job.number += 1
        job.status, job.document = "QUEUED", WRITE
    asking.hear(f"{JOBS}/notify", b"{}")
    asking.turn(lambda: after.status == "SUCCEEDED")
    assert connection.recv(1) == b"", "nobody waits for its answer any more"
    connection.close()
    assert job.status == {"tried again": "SUCCEEDED", "canceled": "CANCELED"}.get(
        how, "IN_PROGRESS"
    )


def test_a_report_that_shows_it_is_over_ends_it(asking: Device, program: Program) -> None:
    job = asking.cloud.create("j1", {"steps": [*steps(("A", "ask", ()), ("B", "ask", ()))]})
    asking.settle()
    connection, _ = program.accept()
    job.status = "TIMED_OUT"
    answers(asking, connection)
    asking.settle()
    connection, packet = program.accept()
    assert packet["id"] == "job:j1:1:1"
    assert connection.recv(1) == b""
    connection.close()
    assert asking.does(WRITE, "j2")[0] == "SUCCEEDED"


def test_a_new_connection_begins_no_step_again(asking: Device, program: Program) -> None:
    job = asking.cloud.create("j1", ASK)
    asking.settle()
    connection, _ = program.accept()
    asking.disconnect()
    asking.connect()
    asking.settle()
    assert not program.has_caller()
    assert len(job.said) == 2, "taken, and its step"
    answers(asking, connection)
    assert job.status == "SUCCEEDED"
    assert asking.registry.counters["ask"].duplicates == 0


def test_one_whose_document_is_not_for_this_device_any_more_has_failed(
    asking: Device, program: Program
) -> None:
    job = asking.cloud.create("j1", ASK)
    asking.settle()
    program.accept()[0].close()
    asking.disconnect()
    job.document = {"operation": "unknown"}
    asking.connect()
    asking.turn(lambda: job.status == "FAILED")
    reason = 'the operation "unknown" is not in jobs.operations'
    assert job.said[-1] == ("FAILED", {"reason": reason})


def test_a_step_that_was_begun_and_of_which_nothing_is_known_is_not_begun_again(
    asking: Device, tmp_path: Path
) -> None:
    order = Order(payload=b"before", identity="job:j1:1:0", origin=JOB)
    asking.registry.named("write").take(order, lambda: None)
    status, details = asking.does(WRITE)
    assert (status, details["reason"]) == ("FAILED", "its outcome is no longer known")
    assert (tmp_path / "written").read_bytes() == b"before"


def test_an_outcome_from_before_is_none_of_the_job_at_hand(
    asking: Device, program: Program
) -> None:
    job = asking.cloud.create("j1", ASK)
    asking.settle()
    forgotten: list[str] = []
    older, later = (
        Order(payload=b"", identity=identity, origin=JOB)
        for identity in ("job:old:1:0", "job:j1:1:1")
    )
    for order in (older, later):
        asking.jobs.report("ask", order, Outcome(status=3), lambda: forgotten.append("x"))
    assert forgotten == ["x"] * 2
    connection, _ = program.accept()
    answers(asking, connection)
    assert job.status == "SUCCEEDED"
    asking.jobs.report("ask", older, Outcome(), lambda: forgotten.append("x"))
    assert forgotten == ["x"] * 3


def test_a_disk_that_takes_nothing_does_not_keep_a_job_from_being_done(
    asking: Device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "orders").write_text("in the way")
    assert asking.does(WRITE)[0] == "SUCCEEDED"
    (problem,) = asking.health.problems
    assert problem.kind.code == "orders-not-kept"
    assert problem.title.startswith("For now, orders do not survive a restart. Cannot ")
    assert problem.remedy
    lines = [line for line in caplog.records if "do not survive" in line.getMessage()]
    assert lines
    assert {vars(line)["journal"]["FLEET_AGENT_PROBLEM"] for line in lines} == {"orders-not-kept"}


@pytest.mark.parametrize("operation", [["firmware"], {"a": 1}, 7, None])
def test_an_operation_that_is_no_name_is_none(asking: Device, operation: object) -> None:
    assert asking.does({"operation": operation}, "j1")[0] == "REJECTED"
    assert asking.does(WRITE, "j2")[0] == "SUCCEEDED"
