"""How far a job is: on disk, and in the words that AWS hears when it is over."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fleet_agent.errors import StateDirectoryError
from fleet_agent.orders.jobs import progress, report
from fleet_agent.orders.jobs.document import Plan, Step
from fleet_agent.orders.jobs.execution import DETAIL, Execution
from fleet_agent.orders.jobs.progress import Done, Progress, ProgressFile
from fleet_agent.orders.outcome import Outcome, Result, failure

BAD = Done(result=Result.FAILED, status=3, reason="why\nnot", stdout="out", stderr="err")
GOOD = Done(result=Result.DONE, status=0)
FULL = Progress(job="j", number=2, steps=(GOOD, BAD), end=("FAILED", {"reason": "x"}))


def test_which_job_it_is_of_and_what_tells_its_orders_apart() -> None:
    def found(job: str, number: int) -> Execution:
        return Execution(job=job, number=number, version=None, status="QUEUED")

    assert FULL.is_of(found("j", 2))
    assert not FULL.is_of(found("j", 3))
    assert not FULL.is_of(found("k", 2))
    assert FULL.identity == "job:j:2:2"
    assert Progress(job="j", number=2).identity == "job:j:2:0"


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Outcome(stdout=b"o", stderr=b"e", packet=b"p"), Done(result=Result.DONE, status=0, stdout="o", stderr="e")),
        (Outcome(packet=b"\xff{}"), Done(result=Result.DONE, status=0, stdout="\ufffd{}")),
        (Outcome(), GOOD),
        (failure("timeout", "slow"), Done(result=Result.TIMED_OUT, status=-1, reason="slow")),
        (Outcome(status=3, stdout=b"a" + b"b" * DETAIL), Done(result=Result.FAILED, status=3, stdout="b" * DETAIL)),
    ],
)  # fmt: skip
def test_what_is_kept_of_an_outcome(outcome: Outcome, kept: Done) -> None:
    assert progress.done(outcome) == kept


# On disk --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [FULL, Progress(job="j", number=1)])
def test_it_is_read_as_it_was_written(value: Progress) -> None:
    assert progress.from_bytes(progress.to_bytes(value)) == value


@pytest.mark.parametrize(
    "change",
    [
        {"steps": None}, {"steps": [7]}, {"steps": [{}]}, {"steps": [{"result": "odd"}]}, {"end": 7}, {"end": ["x"]},
        {"end": ["x", 7]}, {"more": 1},
    ],
)  # fmt: skip
def test_what_is_something_else_is_damage(change: Mapping[str, object]) -> None:
    values = json.loads(progress.to_bytes(FULL))
    for wrong in (json.dumps({**values, **change}), "[]", "{}", "7", "{", "[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            progress.from_bytes(wrong.encode())


class Disk:
    """Where it is kept, and what was said of a disk that takes nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errors: list[StateDirectoryError] = []
        self.kept = ProgressFile(folder / "orders" / "job.json", self._not_kept)

    def _not_kept(self, error: StateDirectoryError) -> None:
        self.errors.append(error)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_it_stays_until_it_is_removed(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    assert disk.kept.read() is None
    disk.kept.write(FULL)
    path = disk.folder / "orders" / "job.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert Disk(disk.folder).kept.read() == FULL
    disk.kept.remove()
    assert (disk.kept.read(), path.exists()) == (None, False)
    assert caplog.text == ""


def test_what_is_damaged_is_lost_and_said_to_be(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.kept.write(FULL)
    (disk.folder / "orders" / "job.json").write_bytes(b"{")
    assert disk.kept.read() is None
    assert "the progress of a job was lost" in caplog.text


def test_a_disk_that_takes_nothing_is_reported(disk: Disk) -> None:
    (disk.folder / "orders").write_text("in the way")
    disk.kept.write(FULL)
    (disk.folder / "orders").unlink()
    (disk.folder / "orders" / "job.json").mkdir(parents=True)
    disk.kept.remove()
    assert len(disk.errors) == 2


# In words -------------------------------------------------------------------------------------------------------------


def planned(*steps: Step) -> Plan:
    return Plan(steps=steps)


def step(name: str, *, ignores_failure: bool = False, shows_output: bool = True) -> Step:
    return Step(name=name, handler="h", ignores_failure=ignores_failure, shows_output=shows_output)


REFUSED = Done(result=Result.REFUSED, status=-1, reason="no")
TWO = planned(step("a"), step("b"))
IGNORED = planned(step("a", ignores_failure=True), step("b"))


@pytest.mark.parametrize(
    ("done", "plan", "is_over"),
    [
        ((), TWO, False), ((GOOD,), TWO, False), ((BAD,), TWO, True), ((GOOD, GOOD), TWO, True),
        ((GOOD, BAD), TWO, True), ((BAD,), IGNORED, False), ((BAD, GOOD), IGNORED, True),
    ],
)  # fmt: skip
def test_a_job_is_over_when_a_step_failed_or_all_are_done(
    done: tuple[Done, ...], plan: Plan, is_over: bool
) -> None:
    assert report.is_over(Progress(job="j", number=1, steps=done), plan) is is_over


OUTPUT = {"stderr": "err", "stdout": "out"}
FAILED_1 = {"step": "1 of 2: a", "outcome": "failed", "exit-status": "3", "reason": "why | not"}
NOTHING = {"stderr": "", "stdout": ""}


@pytest.mark.parametrize(
    ("done", "plan", "status", "details"),
    [
        ((GOOD, GOOD), TWO, "SUCCEEDED", {"step": "2 of 2: b", "outcome": "done", "exit-status": "0", **NOTHING}),
        ((BAD,), TWO, "FAILED", {**FAILED_1, **OUTPUT}),
        ((BAD, GOOD), IGNORED, "SUCCEEDED", {"step": "2 of 2: b", "outcome": "done", "exit-status": "0", **NOTHING}),
        ((BAD, BAD), IGNORED, "FAILED", {**FAILED_1, "step": "2 of 2: b", **OUTPUT}),
        ((REFUSED,), TWO, "REJECTED", {"step": "1 of 2: a", "outcome": "refused", "reason": "no", **NOTHING}),
        ((GOOD, REFUSED), TWO, "FAILED", {"step": "2 of 2: b", "outcome": "refused", "reason": "no", **NOTHING}),
        ((Done(result=Result.REFUSED, status=4),), TWO, "REJECTED",
         {"step": "1 of 2: a", "outcome": "refused", **NOTHING}),
        ((Done(result=Result.TIMED_OUT, status=-1),), TWO, "FAILED",
         {"step": "1 of 2: a", "outcome": "timed out", **NOTHING}),
        ((BAD,), planned(step("a", shows_output=False)), "FAILED",
         {**FAILED_1, "step": "1 of 1: a", "stderr": "err"}),
    ],
)  # fmt: skip
def test_how_a_job_ended(
    done: tuple[Done, ...], plan: Plan, status: str, details: dict[str, str]
) -> None:
    found = report.end(Progress(job="j", number=1, steps=done), plan)
    assert found == (status, details)
