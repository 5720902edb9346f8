"""What AWS IoT Jobs is asked, one question at a time; what is made of each answer, of none, and of one to another."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fleet_agent.orders.jobs.client import JobsClient
from fleet_agent.orders.jobs.execution import Execution
from fleet_agent.orders.jobs.progress import Progress
from fleet_agent.orders.jobs.search import LOOKED_AT, Search
from fleet_agent.orders.jobs.updates import Updates
from fleet_agent.session.message import Outgoing
from support.clock import FakeClock

BASE = "$aws/things/pump-7/jobs"
OURS, THEIRS = {"operation": "log"}, {"operation": "firmware"}


class Talk:
    """A connection, what was said on it, and the answers that came of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[tuple[str, bool, dict[str, Any]]] = []
        self.asking = JobsClient(BASE, self._send, self.clock)
        self.asking.connected()

    def _send(self, message: Outgoing) -> None:
        assert message.topic.startswith(f"{BASE}/")
        self.said.append((message.topic.removeprefix(f"{BASE}/"), json.loads(message.payload)))

    def ask(self, path: str, **values: object) -> None:
        def answered(is_good: bool, answer: dict[str, Any]) -> None:
            self.answers.append((path, is_good, answer))

        self.asking.ask(path, lambda: values, answered)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.said]

    @property
    def last(self) -> dict[str, Any]:
        """The last request, without its token."""
        return {name: value for name, value in self.said[-1][1].items() if name != "clientToken"}

    def hears(self, how: str = "accepted", /, **values: object) -> None:
        """AWS answers the last request."""
        path, request = self.said[-1]
        self.answer(path, how, clientToken=request["clientToken"], **values)

    def answer(self, path: str, how: str, /, **values: object) -> None:
        self.asking.take(f"{path}/{how}", json.dumps(values).encode())

    @property
    def due_in(self) -> float:
        return self.asking.due - self.clock.monotonic()


@pytest.fixture
def talk() -> Talk:
    return Talk()


# One question at a time -----------------------------------------------------------------------------------------------


def test_one_question_at_a_time_and_its_own_answer(talk: Talk) -> None:
    for path in ("a/get", "b/get"):
        talk.ask(path, number=path)
    assert (talk.paths, talk.last) == (["a/get"], {"number": "a/get"})
    assert (talk.asking.is_to_ask("a/get"), talk.asking.is_to_ask("b/get")) == (False, True)
    token = talk.said[0][1]["clientToken"]
    talk.answer("a/get", "accepted")
    talk.answer("a/get", "accepted", clientToken="another")
    talk.answer("b/get", "accepted", clientToken=token)
    talk.asking.take("a/get/accepted", b"{")
    assert (talk.answers, talk.paths) == ([], ["a/get"])
    talk.hears(x=1)
    assert talk.answers == [("a/get", True, {"clientToken": token, "x": 1})]
    assert talk.paths == ["a/get", "b/get"]
    assert talk.said[1][1]["clientToken"] != token
    talk.hears("rejected", code="InvalidRequest")
    assert talk.answers[1][:2] == ("b/get", False)
    assert talk.due_in == math.inf
    talk.answer("b/get", "accepted", clientToken=talk.said[-1][1]["clientToken"])
    assert len(talk.answers) == 2, "once"


def test_before_there_is_a_connection_nothing_is_asked() -> None:
    sent: list[Outgoing] = []
    asking = JobsClient(BASE, sent.append, FakeClock())
    assert asking.due == math.inf
    asking.ask("a", dict, lambda *_: None)
    asking.act()
    assert (sent, asking.due) == ([], math.inf)


def test_what_an_answer_leads_to_is_asked_once(talk: Talk) -> None:
    talk.asking.ask("a", dict, lambda *_: talk.ask("c"))
    talk.ask("b")
    talk.hears()
    assert talk.paths == ["a", "b"]
    talk.hears()
    assert talk.paths == ["a", "b", "c"]
    talk.hears()
    talk.asking.ask("d", dict, lambda *_: talk.ask("e"))
    talk.hears()
    assert talk.paths == ["a", "b", "c", "d", "e"]
    assert talk.due_in == 10


def test_what_is_not_answered_is_asked_again_slower_and_slower(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    talk.ask("a")
    for number, patience in enumerate((10, 20, 40, 80, 160, 320, 640, 640), 1):
        assert (talk.due_in, len(talk.said)) == (patience, number)
        talk.clock.go(patience - 1)
        talk.asking.act()
        assert len(talk.said) == number
        talk.clock.go(1)
        talk.asking.act()
    assert len({request["clientToken"] for _, request in talk.said}) == 9
    assert caplog.messages == [f"AWS IoT Jobs does not answer on {BASE}/a"] * 8
    talk.answer("a", "accepted", clientToken=talk.said[0][1]["clientToken"])
    assert talk.answers == [], "to a question that is not asked any more"
    talk.hears()
    assert len(talk.answers) == 1
    talk.asking.act()
    assert len(talk.said) == 9


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalError"])
def test_where_there_is_too_much_to_do_it_is_asked_again_later(
    talk: Talk, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    talk.ask("a")
    talk.ask("b")
    for number, pause in enumerate((10, 20, 40), 1):
        talk.clock.go(1)
        talk.hears("rejected", code=code, message="not\nnow")
        assert (talk.due_in, len(talk.said)) == (pause, number)
        talk.answer("a", "accepted", clientToken="")
        talk.clock.go(pause)
        talk.asking.act()
    assert talk.answers == []
    assert caplog.messages == [f"AWS IoT Jobs refused a: {code}: not\\nnow"] * 3
    talk.hears()
    assert talk.paths == ["a"] * 4 + ["b"]
    talk.hears("rejected", code="InvalidRequest")
    assert caplog.messages[-1] == "AWS IoT Jobs refused b: InvalidRequest: "


def test_the_end_of_a_connection_ends_all_questions(talk: Talk) -> None:
    talk.ask("a")
    talk.ask("b")
    talk.asking.disconnected()
    assert (talk.due_in, talk.asking.is_to_ask("b")) == (math.inf, False)
    talk.hears()
    talk.ask("c")
    talk.asking.act()
    assert (talk.answers, talk.paths) == ([], ["a"])
    talk.asking.connected()
    talk.ask("d")
    talk.asking.connected()
    talk.hears()
    talk.ask("e")
    assert (talk.answers, talk.paths) == ([], ["a", "d", "e"])


# Reports --------------------------------------------------------------------------------------------------------------


class Reports:
    """What is reported of one job, and what is heard of that."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.heard: list[str] = []
        self.updates = Updates(talk.asking)
        self.updates.version = 5

    def progress(self, **more: object) -> None:
        execution = Execution(job="j", number=3, version=5, status="QUEUED")
        words = {"step": "1 of 1"}
        self.updates.progress(execution, words, self._hears("ok"), self._hears("over"), **more)

    def end(self, **details: str) -> None:
        progress = Progress(job="j", number=3, end=("FAILED", details))
        self.updates.end(progress, self._hears("known"))

    def _hears(self, word: str) -> Callable[[], None]:
        return lambda: self.heard.append(word)


@pytest.fixture
def reports(talk: Talk) -> Reports:
    return Reports(talk)


def state(status: str, version: object = None) -> Mapping[str, object]:
    return {"executionState": {"status": status, "versionNumber": version}}


def test_each_report_says_which_version_it_is_about(reports: Reports, talk: Talk) -> None:
    expected = {
        "status": "IN_PROGRESS", "executionNumber": 3, "includeJobExecutionState": True,
        "statusDetails": {"step": "1 of 1"}, "stepTimeoutInMinutes": 2,
    }  # fmt: skip
    reports.progress(stepTimeoutInMinutes=2)
    assert (talk.paths, talk.last) == (["j/update"], {**expected, "expectedVersion": 5})
    talk.hears("accepted", **state("IN_PROGRESS", 9))
    for version in (9, 10):  # what AWS does not say is one more
        reports.progress(stepTimeoutInMinutes=2)
        assert talk.last == {**expected, "expectedVersion": version}
        talk.hears()
    assert reports.heard == ["ok"] * 3
    reports.progress()
    talk.hears("rejected", code="InvalidRequest")
    reports.progress(stepTimeoutInMinutes=2)
    assert talk.last == expected, "its outcome is no longer known"
    talk.hears()
    reports.progress(stepTimeoutInMinutes=2)
    assert talk.last == expected, "nor does it become known by one more"


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        ({"code": "InvalidStateTransition"}, ["over"]),
        ({"code": "TerminalStateReached"}, ["over"]),
        ({"code": "ResourceNotFound"}, ["over"]),
        ({"code": "VersionMismatch", **state("CANCELED", 7)}, ["over"]),
        ({"code": "VersionMismatch", **state("QUEUED", 7)}, []),
        ({"code": "VersionMismatch", **state("IN_PROGRESS", 7)}, []),
        ({"code": "InvalidRequest"}, []),
        ({}, []),
    ],
)
def test_what_is_over_in_the_cloud_is_over(
    reports: Reports, talk: Talk, answer: dict[str, object], heard: list[str]
) -> None:
    reports.progress()
    talk.hears("rejected", **answer)
    assert reports.heard == heard
    is_again = answer.get("code") == "VersionMismatch" and not heard
    assert talk.paths == ["j/update"] * (2 if is_again else 1)
    if is_again:
        assert talk.last["expectedVersion"] == 7


def test_a_report_that_crosses_each_time_is_given_up(reports: Reports, talk: Talk) -> None:
    reports.progress()
    for number in range(6):
        talk.hears("rejected", code="VersionMismatch", **state("IN_PROGRESS", number))
    assert len(talk.said) == 4
    assert reports.heard == []


@pytest.mark.parametrize(
    ("how", "answer", "again"),
    [
        ("accepted", state("FAILED", 6), None),
        ("rejected", {"code": "TerminalStateReached"}, None),
        ("rejected", {"code": "ResourceNotFound"}, None),
        ("rejected", {"code": "VersionMismatch", **state("CANCELED", 7)}, None),
        ("rejected", {"code": "VersionMismatch", **state("IN_PROGRESS", 7)},
         {"statusDetails": {"reason": "why"}, "expectedVersion": 7}),
        ("rejected", {"code": "VersionMismatch", **state("QUEUED")}, {"statusDetails": {"reason": "why"}}),
        ("rejected", {"code": "InvalidRequest"}, {"expectedVersion": 5}),
    ],
)  # fmt: skip
def test_an_end_is_said_until_aws_has_one(
    reports: Reports, talk: Talk, how: str, answer: dict[str, object], again: object,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    common = {"status": "FAILED", "executionNumber": 3, "includeJobExecutionState": True}
    reports.end(reason="why")
    assert talk.last == {**common, "statusDetails": {"reason": "why"}, "expectedVersion": 5}
    talk.hears(how, **answer)
    if again is None:
        assert (reports.heard, len(talk.said)) == (["known"], 1)
        was_over = "the job j had already ended in the cloud" in caplog.text
        assert was_over is (how == "rejected")
    else:
        assert isinstance(again, dict)
        assert (reports.heard, talk.paths) == ([], ["j/update"] * 2)
        assert talk.last == {**common, **again}
        talk.hears("rejected", code="InvalidRequest")
        talk.hears("rejected", code="InvalidRequest")
        assert reports.heard == ["known"], "without details there is nothing to leave out"


def test_what_has_not_ended_has_no_end_to_report(reports: Reports, talk: Talk) -> None:
    reports.updates.end(Progress(job="j", number=3), lambda: reports.heard.append("known"))
    assert (reports.heard, talk.said) == ([], [])


# Which job is next ----------------------------------------------------------------------------------------------------

SEARCHED = Progress(job="now", number=2)


class Looking:
    """A search, with jobs by their document; ``found``: None where there is none."""

    def __init__(self, talk: Talk, *, starts: bool = False, lists: bool = True) -> None:
        self.talk = talk
        self.found: list[str | None] = []
        self._search = Search(talk.asking, self._is_ours, starts=starts, lists=lists)

    def _is_ours(self, one: Execution) -> bool:
        return one.document == OURS

    def next(self, current: Progress | None = None) -> None:
        self._search.next(current, lambda one: self.found.append(one.job if one else None))

    def hears(
        self,
        path: str,
        job: str | None,
        document: object = OURS,
        status: str = "QUEUED",
        number: int = 1,
    ) -> None:
        """AWS answers that question with that job."""
        assert self.talk.paths[-1] == path
        if path != "start-next":
            assert self.talk.last == {"includeJobDocument": True}
        values = {
            "jobId": job,
            "jobDocument": document,
            "status": status,
            "executionNumber": number,
        }
        self.talk.hears("accepted", **({"execution": values} if job else {}))


@pytest.mark.parametrize("job", ["j1", None])
def test_where_all_jobs_are_ours_aws_starts_the_next_one(talk: Talk, job: str | None) -> None:
    looking = Looking(talk, starts=True)
    looking.next(SEARCHED)
    looking.hears("start-next", job, THEIRS)
    assert (talk.last, looking.found) == ({}, [job])


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize(("job", "document"), [("j1", OURS), (None, OURS)])
def test_the_next_one_is_ours_or_there_is_none(
    talk: Talk, job: str | None, document: object, lists: bool
) -> None:
    looking = Looking(talk, lists=lists)
    looking.next()
    looking.hears("$next/get", job, document)
    assert looking.found == [job]


def test_behind_one_of_others_nothing_is_looked_for_where_only_ours_are_taken(talk: Talk) -> None:
    looking = Looking(talk, lists=False)
    looking.next()
    looking.hears("$next/get", "j1", THEIRS)
    assert looking.found == [None]


@pytest.mark.parametrize("status", ["QUEUED", "IN_PROGRESS"])
def test_behind_one_of_others_the_first_of_ours_is_found(talk: Talk, status: str) -> None:
    looking = Looking(talk)
    looking.next()
    looking.hears("$next/get", "t1", THEIRS)
    assert (talk.paths[-1], talk.last) == ("get", {})
    talk.hears(queuedJobs=[{"jobId": name} for name in ("t1", "j0", "gone", "j1", "j2")])
    looking.hears("t1/get", "t1", THEIRS)
    looking.hears("j0/get", "j0", OURS, "SUCCEEDED")
    looking.hears("gone/get", None)
    looking.hears("j1/get", "j1", OURS, status)
    assert looking.found == ["j1"]


def test_of_a_long_list_so_many_are_looked_at(talk: Talk) -> None:
    looking = Looking(talk)
    looking.next()
    looking.hears("$next/get", "t", THEIRS)
    talk.hears(queuedJobs=[{"jobId": f"t{number}"} for number in range(LOOKED_AT + 1)])
    for number in range(LOOKED_AT):
        assert looking.found == []
        looking.hears(f"t{number}/get", f"t{number}", THEIRS)
    assert looking.found == [None]


def test_one_that_is_begun_is_looked_for_before_others(talk: Talk) -> None:
    looking = Looking(talk)
    looking.next(SEARCHED)
    looking.hears("now/get", "now", THEIRS, "IN_PROGRESS", 2)
    assert looking.found == ["now"]


@pytest.mark.parametrize(
    ("job", "status", "number"),
    [("now", "CANCELED", 2), ("now", "QUEUED", 2), ("now", "IN_PROGRESS", 3), (None, "", 2)],
)
def test_one_that_is_begun_and_over_gives_way_to_the_next(
    talk: Talk, job: str | None, status: str, number: int
) -> None:
    looking = Looking(talk)
    looking.next(SEARCHED)
    looking.hears("now/get", job, OURS, status, number)
    looking.hears("$next/get", "j1")
    assert looking.found == ["j1"]
