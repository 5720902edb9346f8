"""Who may send to which topics."""

import os
from pathlib import Path

import pytest
import yaml

from fleet_agent.config.readings import Allow
from fleet_agent.errors import DeviceError
from fleet_agent.telemetry.sources import allow_list
from fleet_agent.telemetry.sources.allow_list import AllowList, Rights
from fleet_agent.telemetry.sources.packet import PacketError


def fill(text: str) -> str:
    if "{nothing}" in text:
        raise DeviceError("There is no {nothing}.", remedy="Set it.", code="unknown")
    return text.replace("{thing}", "pump-7")


def refused(found: Rights, topic: str) -> PacketError:
    with pytest.raises(PacketError) as caught:
        found.topic(topic)
    return caught.value


def test_a_topic_is_filled_in_and_must_match_a_filter() -> None:
    found = Rights(1000, ["a/+", "b/pump-7"], "a/own", fill)
    for _ in range(2):
        assert found.topic("a/{thing}") == "a/pump-7"
        assert found.topic("b/{thing}") == "b/pump-7"
        assert found.topic("") == "a/own"
    error = refused(found, "c/{thing}")
    assert error.code == "not-allowed"
    assert error.title == "User 1000 may not send to c/pump-7."
    assert '{user: 1000, topics: ["c/pump-7"]}' in error.remedy
    # What is pasted allows that topic and nothing else, whatever is in it.
    odd = """c/'"], user: '*', topics: ['a"""
    pasted = refused(found, odd).remedy
    rule = yaml.safe_load(pasted.partition("`allow`: ")[2].rpartition("; then")[0])
    assert rule == {"user": 1000, "topics": [odd]}
    assert refused(Rights(7, ["a"], "b", fill), "").title == "User 7 may not send to b."


@pytest.mark.parametrize(
    ("topic", "title", "remedy"),
    [
        ("a/#", "The topic 'a/#' ", "wildcard"),
        ("x" * 1000, "The topic '" + "x" * 300 + "' ", ""),
        ("a/{nothing}", "There is no {nothing}.", "Set it."),
    ],
)
def test_what_is_no_topic_is_named_with_what_to_do(topic: str, title: str, remedy: str) -> None:
    error = refused(Rights(1000, ["#"], "t", fill), topic)
    assert error.code == "bad-topic"
    assert error.title.startswith(title)
    assert remedy in error.title + error.remedy
    assert error.remedy


def test_topics_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allow_list, "_REMEMBERED", 10)
    asked: list[str] = []

    def filled(text: str) -> str:
        asked.append(text)
        return text

    found = Rights(1000, ["#"], "t", filled)
    for number in range(25):
        for _ in range(3):
            assert found.topic(f"t/{number}") == f"t/{number}"
        assert len(found._known) <= 10
    assert asked == [f"t/{number}" for number in range(25)]


def test_each_user_has_its_own_filters_and_everybodys(tmp_path: Path) -> None:
    allow = [
        Allow(user="1000", topics=("a/{thing}", "nowhere/{nothing}")),
        Allow(user="2000", topics=("b",)),
        Allow(user="*", topics=("c",)),
    ]
    everybody = tmp_path / "uid_map"
    everybody.write_text("0 0 4294967295\n")
    asked: list[str] = []

    def filter_of(text: str) -> str | None:
        asked.append(text)
        return None if "{nothing}" in text else fill(text)

    found = AllowList(allow, filter_of, str, everybody)
    assert found.problems == []
    assert asked == ["a/{thing}", "nowhere/{nothing}", "b", "c"]
    user = found.rights(1000, "a/pump-7")
    assert user.user == 1000
    assert [user.topic(topic) for topic in ("", "c")] == ["a/pump-7", "c"]
    assert refused(user, "b").code == "not-allowed"
    assert found.rights(2000, "c").topic("b") == "b"
    assert refused(found.rights(3000, "c"), "a/pump-7").code == "not-allowed"


@pytest.mark.parametrize(
    ("user", "is_problem"),
    [("*", False), ("0", False), (str(os.geteuid()), False), ("77", True), ("1", True)],
)
def test_only_others_than_root_and_the_agent_can_be_hidden(
    tmp_path: Path, user: str, *, is_problem: bool
) -> None:
    few = tmp_path / "uid_map"
    few.write_text("0 0 1\n")
    found = AllowList([Allow(user=user, topics=("#",))], str, str, few)
    assert bool(found.problems) is is_problem
