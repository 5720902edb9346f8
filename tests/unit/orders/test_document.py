"""A job document: what it asks for, and what is said of one that this device does not carry out."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.config.orders import Jobs
from fleet_agent.orders.jobs import facts
from fleet_agent.orders.jobs.document import STEPS, Plan, Step, UnfitError, leaves, plan, split

SETTINGS = Jobs(operations={"reboot.sh": "reboot", "/opt/x/update": "special", "update": "plain"})
FACTS = {"thing": "pump-7", "site": "north"}


def planned(given: Mapping[str, Any] | None, settings: Jobs = SETTINGS) -> Plan:
    return plan(given, settings, lambda: FACTS)


def why(given: Mapping[str, Any] | None, settings: Jobs = SETTINGS) -> str:
    with pytest.raises(UnfitError) as caught:
        planned(given, settings)
    return str(caught.value)


def step(handler: object = "update", **more: Any) -> dict[str, Any]:
    values = more.pop("input", {"handler": handler})
    return {"action": {"name": "it", "type": "runHandler", "input": values, **more}}


def only(given: Mapping[str, Any], settings: Jobs = SETTINGS) -> Step:
    (found,) = planned(given, settings).steps
    return found


# Three shapes ---------------------------------------------------------------------------------------------------------


def test_an_operation_with_its_arguments() -> None:
    given = {"operation": "update", "args": ["a", 1, True], "path": "/elsewhere"}
    found = only(given)
    assert found == Step(
        name="update",
        handler="plain",
        arguments=("a", "1", "true"),
        payload=json.dumps(given).encode(),
    )


def test_anything_else_is_for_the_handler_that_takes_the_rest() -> None:
    rest = Jobs(operations={"a": "b"}, handler="rest")
    for given in ({"x": 1}, {"operation": "unknown"}, {"operation": 7}):
        found = only(given, rest)
        assert (found.name, found.handler, json.loads(found.payload)) == (
            "document",
            "rest",
            given,
        )
    assert only({"operation": "a"}, rest).handler == "b"


def test_steps_and_the_final_one() -> None:
    given = {"version": "1.0", "steps": [step("update", name="a"), step("reboot.sh", name="b")]}
    assert [(each.name, each.handler) for each in planned(given).steps] == [
        ("a", "plain"),
        ("b", "reboot"),
    ]
    final = {**given, "finalStep": step("reboot.sh", name="c")}
    assert [each.name for each in planned(final).steps] == ["a", "b", "c"]
    assert len(planned({"steps": [step()] * STEPS}).steps) == STEPS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "not a JSON object"),
        ({"operation": "x" * 200}, 'the operation "' + "x" * 100),
        ({"operation": 7}, 'neither "steps" nor an "operation"'),
        ({"steps": {}}, "not a list of 1 to 100"),
        ({"steps": []}, "not a list of 1 to 100"),
        ({"steps": [step()] * (STEPS + 1)}, "not a list of 1 to 100"),
        ({"steps": ["x"]}, 'a step has no "action"'),
        ({"steps": [{"action": []}]}, 'a step has no "action"'),
        ({"steps": [step(), {}]}, 'a step has no "action"'),
        ({"steps": [step(type="runRocket")]}, '"it" has an unknown type: runRocket'),
        ({"steps": [step(None)]}, '"it" does not name a handler'),
        ({"steps": [step("")]}, '"it" does not name a handler'),
        ({"steps": [step(input=7)]}, '"it" does not name a handler'),
        ({"steps": [step("unknown")]}, 'the handler "unknown" is not in jobs.operations'),
        ({"steps": [step("unknown", name="")]}, 'the handler "unknown"'),
        ({"steps": [step(None, name="")]}, 'the step "step" does not name a handler'),
    ],
)
def test_what_is_not_understood_is_named(given: Mapping[str, Any] | None, words: str) -> None:
    assert words in why(given)


# A step ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "handler"),
    [("/opt/x", "special"), ("/opt/x/", "special"), ("/opt/y", "plain"), ("", "plain"), (7, "plain"), (None, "plain")],
)  # fmt: skip
def test_a_handler_is_looked_for_by_its_whole_path_first(path: object, handler: str) -> None:
    assert only({"operation": "update", "path": path}).handler == handler
    assert only({"steps": [step(input={"handler": "update", "path": path})]}).handler == handler


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        (None, ()), ("", ()), ("  ", ()), ("${aws:iot:parameter:args}", ()), ("a b", ("a b",)), (7, ("7",)),
        ([], ()), (["a", "", 1.5, False], ("a", "", "1.5", "false")),
    ],
)  # fmt: skip
def test_arguments(given: object, arguments: tuple[str, ...]) -> None:
    found = only({"steps": [step(input={"handler": "update", "args": given})]})
    assert found.arguments == arguments


@pytest.mark.parametrize("given", [{}, {"a": 1}, [[]], [{}], ["a", None]])
def test_arguments_that_are_no_texts(given: object) -> None:
    assert 'arguments of "it" are not a list' in why(
        {"steps": [step(input={"handler": "update", "args": given})]}
    )
    zero = step(input={"handler": "update", "args": ["a", "b\0"]})
    assert 'arguments of "it" are not a list' in why({"steps": [zero]})


@pytest.mark.parametrize(
    ("member", "value", "attribute", "found"),
    [
        ("runAsUser", " otto ", "user", "otto"), ("runAsUser", "${aws:iot:parameter:u}", "user", ""),
        ("runAsUser", "", "user", ""), ("runAsUser", 7, "user", ""), ("runAsUser", None, "user", ""),
        ("ignoreStepFailure", True, "ignores_failure", True), ("ignoreStepFailure", "True", "ignores_failure", True),
        ("ignoreStepFailure", "yes", "ignores_failure", False), ("ignoreStepFailure", 1, "ignores_failure", False),
        ("allowStdErr", 0, "ignores_failure", True), ("allowStdErr", True, "ignores_failure", False),
        ("allowStdErr", "1", "ignores_failure", False), ("includeStdOut", False, "shows_output", False),
        ("includeStdOut", "false", "shows_output", False), ("includeStdOut", "true", "shows_output", True),
        ("name", None, "name", "step"), ("name", "x" * 200, "name", "x" * 100 + " … (200 bytes)"),
    ],
)  # fmt: skip
def test_what_a_step_says_beside(
    member: str, value: object, attribute: str, found: object
) -> None:
    given = {"steps": [step("update", **{member: value})]}
    assert getattr(only(given), attribute) == found
    plain = only({"steps": [step()]})
    assert (plain.user, plain.ignores_failure, plain.shows_output) == ("", False, True)
    assert json.loads(plain.payload) == step()["action"]


# A command of the document's own --------------------------------------------------------------------------------------


def command(words: object) -> dict[str, Any]:
    return step(type="runCommand", input={"command": words}, runAsUser="otto")


def test_a_command_is_run_where_that_is_allowed() -> None:
    allowed = Jobs(run_command=True)
    found = only({"steps": [command("touch,/tmp/a b")]}, allowed)
    assert (found.handler, found.arguments) == (None, ("touch", "/tmp/a b"))
    assert (found.name, found.user) == ("it", "otto")
    assert "only with jobs: {run_command: true}" in why({"steps": [command("touch,x")]})
    for words in (None, "", ",", "touch /tmp/a", "a\tb,c", 7):
        assert '"it" has no command' in why({"steps": [command(words)]}, allowed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b", ("a", "b")), (" a , b c ", ("a", "b c")), (r"a\,b,c", ("a,b", "c")), (r"a\\,b", ("a\\", "b")),
        (r"a\n,b", (r"a\n", "b")), ("a\\", ("a\\",)), ("a,,b", ("a", "", "b")), (",,", ()), ("", ()), (7, ()),
    ],
)  # fmt: skip
def test_words_are_separated_by_commas(text: object, words: tuple[str, ...]) -> None:
    assert split(text) == words


# Conditions -----------------------------------------------------------------------------------------------------------


def condition(key: object, *wanted: object, **more: object) -> dict[str, object]:
    return {"key": key, "value": list(wanted), **more}


def test_a_job_for_a_device_like_this_one() -> None:
    for conditions in (None, [], [condition("thing", "pump-6", "pump-7")],
                       [condition("thing", "pump-7", type="stringEqual"), condition("site", "north")]):  # fmt: skip
        planned({"conditions": conditions, "steps": [step()]})


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({}, '"conditions" is not a list'),
        (["x"], 'a condition is not valid: "x"'),
        ([condition(7, "x")], "not valid"),
        ([{"key": "thing", "value": "pump-7"}], "not valid"),
        ([condition("thing", "pump-7", type="like")], "not valid"),
        ([condition("color", "red")], 'the condition "color" is unknown; known are site, thing'),
        (
            [condition("thing", "pump-7"), condition("site", "south")],
            'not met: site is "north" here',
        ),
    ],
)
def test_a_job_for_another_one(conditions: object, words: str) -> None:
    assert words in why({"conditions": conditions, "steps": [step()]})


# Another program's ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "rules", "is_left"),
    [
        ({"operation": "fw", "x": 1}, [{"operation": "fw"}], True),
        ({"operation": "fw", "x": 1}, [{"operation": "fw", "x": "1"}], True),
        ({"operation": "fw", "x": True}, [{"x": "no"}, {"x": "true"}], True),
        ({"operation": "fw"}, [{"operation": "fw", "x": "1"}], False),
        ({"operation": "fw"}, [{"operation": "other"}], False),
        ({"operation": "fw"}, [{}], False),
        ({"operation": "fw"}, [], False),
        (None, [{"operation": "fw"}], False),
    ],
)
def test_a_document_that_is_left_to_another_program(
    given: Mapping[str, Any] | None, rules: list[dict[str, str]], is_left: bool
) -> None:
    assert leaves(given, rules) is is_left


def test_facts_are_looked_up_for_conditions_alone() -> None:
    def never() -> Mapping[str, str]:
        raise AssertionError

    plan({"steps": [step()], "conditions": []}, SETTINGS, never)
    plan({"operation": "update"}, SETTINGS, never)


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ('NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\nID_LIKE=x\n', "debian"),
        ("ID='poky'\n", "poky"), ('ID="yocto=x"\n', "yocto=x"), ("\n\nID=\n", "linux"),
        ("NAME=x\n", "linux"), ("", "linux"), (None, "linux"), ("\xff\nID=\xe9\n", "\ufffd"),
        ("x" * facts._LIMIT + "\nID=late\n", "linux"),
    ],
)  # fmt: skip
def test_what_is_known_of_this_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, system: str
) -> None:
    monkeypatch.setattr(facts, "OS_RELEASE", tmp_path / "os-release")
    if text is not None:
        (tmp_path / "os-release").write_bytes(text.encode("latin-1"))
    given = {"site": "Leeds", "thingName": "of the configuration", "architecture": "x"}
    assert facts.facts("pump-7", given) == {
        "site": "Leeds",
        "thingName": "pump-7",
        "architecture": platform.machine(),
        "operatingSystem": system,
    }
