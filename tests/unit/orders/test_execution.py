"""What AWS IoT Jobs says of a job, whatever its shape; and what it takes as details."""

import json
from typing import Any

import pytest

from fleet_agent.orders.jobs import execution as jobs
from fleet_agent.orders.jobs.execution import (
    DETAIL,
    Execution,
    clean,
    details,
    listed,
    noticed,
    state,
)

WHOLE: dict[str, Any] = {
    "jobId": "a-B_9", "executionNumber": 3, "versionNumber": 5, "status": "QUEUED",
    "statusDetails": {"step": 2}, "jobDocument": {"operation": "x"}, "approximateSecondsBeforeTimedOut": 60,
}  # fmt: skip


def test_all_of_it_and_as_little_as_may_be() -> None:
    assert jobs.execution(WHOLE) == Execution(
        job="a-B_9", number=3, version=5, status="QUEUED", details={"step": "2"},
        document={"operation": "x"}, seconds=60,
    )  # fmt: skip
    bare = Execution(job="a", number=1, version=None, status="None")
    assert jobs.execution({"jobId": "a"}) == bare
    odd = {
        "jobId": "a",
        "executionNumber": True,
        "versionNumber": "5",
        "statusDetails": [],
        "jobDocument": [],
    }
    assert jobs.execution(odd) == bare
    assert noticed(json.dumps({"execution": WHOLE}).encode()) == jobs.execution(WHOLE)


@pytest.mark.parametrize("job", ["", "a/b", "a" * 65, "a b", 7, None, "a\n"])
def test_an_id_that_could_change_a_topic_is_none(job: object) -> None:
    assert jobs.execution({"jobId": job}) is None
    assert listed({"queuedJobs": [{"jobId": job}]}) == []
    assert jobs.execution({"jobId": "a" * 64}) is not None


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b'{"execution": []}', b"{}"])
def test_a_notice_of_nothing(payload: bytes) -> None:
    assert noticed(payload) is None


@pytest.mark.parametrize(
    ("number", "version"),
    [(1 << 53, 1 << 53), ((1 << 53) + 1, None), (-(1 << 53), -(1 << 53)), (1.5, None)],
)
def test_a_number_with_which_nothing_can_be_reckoned_is_none(
    number: object, version: int | None
) -> None:
    found = jobs.execution({"jobId": "a", "versionNumber": number})
    assert found is not None
    assert found.version == version
    assert state({"executionState": {"status": "QUEUED", "versionNumber": number}}) == (
        "QUEUED",
        version,
    )


def test_the_jobs_of_a_list_in_their_order() -> None:
    def entry(job: str, at: object = None) -> dict[str, object]:
        return {"jobId": job, "queuedAt": at}

    values = {
        "queuedJobs": [entry("d", 9), entry("c", 7), "x", entry("b")],
        "inProgressJobs": [entry("z", 99), entry("y", 98)],
    }
    assert listed(values) == ["y", "z", "b", "c", "d"]
    assert listed({"queuedJobs": {}, "inProgressJobs": [entry("a")]}) == ["a"]
    assert listed({}) == []


def test_a_state_that_is_none() -> None:
    assert state({}) == ("", None)
    assert state({"executionState": []}) == ("", None)


def test_details_are_on_one_line_and_the_last_of_a_longer_one() -> None:
    given = {
        "a": " one \n\n two\t3 ",
        "b": "x" * 2000 + "y",
        "c": "\n \n",
        "d e": "x",
        "k" * 128: "v",
        "k" * 129: "v",
    }
    assert details(given) == {"a": "one | two 3", "b": "x" * (DETAIL - 1) + "y", "k" * 128: "v"}
    assert clean("a\nbc", 3) == "bc"
    assert clean("abcd", 3) == "bcd"
    assert clean("a\x1b[b") == "a [b"
