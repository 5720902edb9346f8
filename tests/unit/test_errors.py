import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fleet_agent
from fleet_agent import errors
from fleet_agent.errors import AgentError, ConfigurationError, Exit, NotAllowedError

AGENT = Path(fleet_agent.__file__).parent
TAKES = {"title", "remedy", "code"}


def kinds() -> Iterator[type[AgentError]]:
    yield from (
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, AgentError) and value is not AgentError
    )


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_kind_has_its_exit_status(kind: type[AgentError]) -> None:
    assert kind.exit_status in Exit
    assert kind.__name__.endswith("Error")


def test_exit_statuses_stay_what_scripts_and_the_unit_know() -> None:
    assert {item.name: item.value for item in Exit} == {
        "DONE": 0,
        "USAGE": 2,
        "UNREACHABLE": 69,
        "CANNOT_WRITE": 73,
        "TEMPORARY": 75,
        "REFUSED": 77,
        "WRONG_ON_DEVICE": 78,
    }


def raised() -> Iterator[tuple[str, ast.Call]]:
    """Every place in the agent where an error is made, but for the kinds that word themselves."""
    names = {kind.__name__ for kind in kinds()} - {"NotAllowedError", "ConfigurationError"}
    for path in sorted(AGENT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
                yield f"{path.relative_to(AGENT)}:{node.lineno}", node


def text_of(node: ast.expr) -> str:
    """The constant parts of a text."""
    return "".join(
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


@pytest.mark.parametrize(
    ("where", "call"), [pytest.param(where, call, id=where) for where, call in raised()]
)
def test_every_error_says_what_to_do_and_has_a_code(where: str, call: ast.Call) -> None:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    assert len(call.args) == 1, where
    assert TAKES - {"title"} <= set(given), where
    for name in ("remedy", "code"):
        value = given[name]
        if isinstance(value, ast.Constant):
            assert value.value, f"{where}: {name}"
    code = text_of(given["code"])
    assert code == code.lower(), where
    assert " " not in code, where


def test_there_are_errors_to_look_at() -> None:
    assert len(list(raised())) > 40


def test_a_missing_permission_comes_ready_to_paste() -> None:
    error = NotAllowedError("thing", "iot:Publish", "topic/dt/pump-7/system")
    assert "thing's policy" in error.title
    assert '"Action": "iot:Publish"' in error.remedy
    assert "arn:aws:iot:REGION:ACCOUNT:topic/dt/pump-7/system" in error.remedy
    assert error.exit_status is Exit.REFUSED


def test_a_configuration_with_several_errors_keeps_them_all() -> None:
    error = ConfigurationError("Two errors.", remedy="Mend them.", problems=("a", "b"))
    assert (error.code, error.problems, str(error)) == ("configuration", ("a", "b"), "Two errors.")
    assert error.step is None
