"""Topic filters: the standard's own examples, and each filter against what a regular expression says."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.topics.filters import brings_all, covers, levels, matches


@pytest.mark.parametrize(
    ("filter_", "topic", "found"),
    [
        ("a/b", "a/b", ()),
        ("a/b", "a/c", None),
        ("a/b", "a/b/c", None),
        ("a/b/c", "a/b", None),
        ("sport/tennis/player1/#", "sport/tennis/player1", ()),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", ("score", "wimbledon")),
        ("sport/tennis/player1/#", "sport/tennis/player10", None),
        ("#", "any/topic", ("any", "topic")),
        ("sport/+", "sport", None),
        ("sport/+", "sport/", ("",)),
        ("+/+", "/finance", ("", "finance")),
        ("/+", "/finance", ("finance",)),
        ("+", "/finance", None),
        ("+/tennis/#", "sport/tennis/a", ("sport", "a")),
        ("#", "$aws/things/a", None),
        ("+/monitor/Clients", "$SYS/monitor/Clients", None),
        ("$aws/things/+/jobs/#", "$aws/things/a/jobs/notify", ("a", "notify")),
        ("$share/workers/cmd/+", "cmd/x", ("x",)),
        ("$share/workers/#", "$aws/x", None),
        ("$share/workers", "workers", None),
        ("cmd/+/set/#", "cmd/a/set/b/c", ("a", "b", "c")),
        ("a.c", "abc", None),
        ("A", "a", None),
    ],
)
def test_a_filter_stands_for(filter_: str, topic: str, found: tuple[str, ...] | None) -> None:
    assert matches(filter_, topic) is (found is not None)
    assert levels(filter_, topic) == (found or ())


_LEVEL = st.sampled_from(["", "a", "b", "$x", "ü"])


@given(
    st.lists(st.one_of(_LEVEL, st.just("+")), min_size=1, max_size=5),
    st.booleans(),
    st.lists(_LEVEL, min_size=1, max_size=6),
)
def test_a_filter_stands_for_what_its_regular_expression_does(
    wanted: list[str], is_open: bool, given_levels: list[str]
) -> None:
    filter_, topic = "/".join(wanted), "/".join(given_levels)
    expression = re.escape(filter_).replace(r"\+", "([^/]*)") + ("(/.*)?" if is_open else "")
    filter_ += "/#" if is_open else ""
    found = re.fullmatch(expression, topic)
    is_hidden = topic.startswith("$") and filter_.startswith("+")
    expected = found is not None and not is_hidden and bool(filter_)
    assert matches(filter_, topic) is expected
    if expected and found is not None:
        stars = wanted.count("+")
        rest = (found.group(stars + 1) or "") if is_open else ""
        assert levels(filter_, topic) == (*found.groups()[:stars], *rest.split("/")[1:])


def test_a_member_of_a_shared_subscription_gets_some_only() -> None:
    assert brings_all("a/+", "a/b")
    assert matches("$share/g/a/+", "a/b")
    assert not brings_all("$share/g/a/+", "a/b")


@given(st.text(max_size=30), st.text(max_size=30))
def test_nothing_that_arrives_makes_it_fail(filter_: str, topic: str) -> None:
    assert matches(filter_, topic) or levels(filter_, topic) == ()


@pytest.mark.parametrize(
    ("general", "special", "is_covered"),
    [
        ("a/#", "a/b", True),
        ("a/#", "a/+/c", True),
        ("a/#", "a/b/#", True),
        ("+/b", "a/b", True),
        ("a/+", "a/#", False),
        ("a/b", "a/+", False),
        ("a/#", "a", False),
        ("a/+", "a/b/c", False),
        ("#", "a/b", True),
        ("#", "$aws/things/x", False),
        ("+/x", "$aws/x", False),
        ("$aws/#", "$aws/things/x", True),
        ("$share/g/a/#", "a/b", False),
        ("a/#", "$share/g/a/b", True),
        ("a/b", "$share/g/a/b", True),
        ("a/b", "$share/g/a/+", False),
        ("$share/g/a/#", "$share/g/a/b", False),
        ("#", "$share/g/$aws/x", False),
        ("a/b", "a/b", False),
    ],
)
def test_which_filter_brings_all_that_another_would(
    general: str, special: str, is_covered: bool
) -> None:
    assert covers(general, special) is is_covered
