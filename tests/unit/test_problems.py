"""Every problem of the agent is in the one table: the source is walked for what makes one, or becomes one."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import fleet_agent
from fleet_agent import errors
from fleet_agent.errors import NotAllowedError, RefusedError, TemporaryError, UnreachableError
from fleet_agent.health import table
from fleet_agent.health.problems import ProblemKind, Severity
from fleet_agent.provisioning import machine, model
from fleet_agent.provisioning.model import Step

AGENT = Path(fleet_agent.__file__).parent
# Where the errors come from that provisioning, or a proof, waits for.
_ROOMS = ("provisioning", "session", "credentials", "device")
# Those of a topic or filter have kinds of their own, which their reporters name.
_OF_TOPICS = {"publish-refused", "subscribe-refused"}


@pytest.fixture(scope="module")
def modules() -> dict[Path, ast.Module]:
    """Every module of the agent, parsed once."""
    return {file: ast.parse(file.read_text(encoding="utf-8")) for file in AGENT.rglob("*.py")}


def named(file: Path, node: ast.expr) -> object:
    """What a literal, a name or a dotted name in a module stands for."""
    module = ".".join(file.relative_to(AGENT.parent).with_suffix("").parts)
    return eval(
        compile(ast.Expression(node), str(file), "eval"), vars(importlib.import_module(module))
    )


def refusals(modules: dict[Path, ast.Module]) -> set[str]:
    """The codes of every error that says that somebody has to act, as the source has them."""
    found = set()
    for file, tree in modules.items():
        if file.relative_to(AGENT).parts[0] not in _ROOMS:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RefusedError":
                (code,) = (word.value for word in node.keywords if word.arg == "code")
                found.add(str(named(file, code)))
    return found


def waited_for() -> set[str]:
    """The codes of errors that the pure machine waits for until somebody acts, whatever their class."""
    known = [value for value in vars(errors).values() if isinstance(value, str)]
    known += [value for value in vars(model).values() if isinstance(value, str)]
    slugs = [code for code in known if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)]
    verdicts = [
        machine.judge(kind("What.", remedy="Do.", code=code), step, refused_for=1e9)
        for code in slugs
        for kind in (UnreachableError, TemporaryError, errors.DeviceError)
        for step in Step
    ]
    found = {
        verdict.error.code
        for verdict in verdicts
        if verdict.patience is not None and verdict.patience.needs_person
    }
    rejected = (
        model.RejectedError(operation, status, "Code", "message")
        for operation in model.Operation
        for status in (400, 401, 403, 404, 429, 500, None)
    )
    for failure in rejected:
        verdict = machine.judge(failure, Step.REGISTER, refused_for=1e9)
        if verdict.patience is not None and verdict.patience.needs_person:
            found.add(verdict.error.code)
    return found


def test_the_walk_finds_something(modules: dict[Path, ast.Module]) -> None:
    assert {"connect-unanswered", "connect-refused", "subscribe-refused"} & refusals(
        modules
    ) != set()
    assert {"server-untrusted", "proxy-password", "answer-unfit", "csr-refused"} <= waited_for()


def test_every_error_that_becomes_a_problem_is_in_the_table(
    modules: dict[Path, ast.Module],
) -> None:
    becoming = (
        (refusals(modules) - _OF_TOPICS) | waited_for() | {NotAllowedError("thing", "a", "b").code}
    )
    assert becoming == {kind.code for kind in table.OF_ERRORS}


def test_an_error_is_the_problem_of_its_code() -> None:
    for kind in table.OF_ERRORS:
        assert table.kind_of(RefusedError("No.", remedy="Ask.", code=kind.code)) is kind


def test_a_problem_is_made_from_the_table_alone(modules: dict[Path, ast.Module]) -> None:
    for file, tree in modules.items():
        makes = {
            getattr(node.func, "id", "") for node in ast.walk(tree) if isinstance(node, ast.Call)
        }
        imported = {
            name.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("health.problems")
            for name in node.names
        }
        if file.parent.name != "health":
            assert not {"ProblemKind", "Problem"} & makes & imported, file


def test_what_is_reported_is_a_row_and_every_row_is_reported(
    modules: dict[Path, ast.Module],
) -> None:
    used = set()
    for file, tree in modules.items():
        if file.parent.name == "health":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "table":
                found = getattr(table, node.attr, None)
                used |= {found.code} if isinstance(found, ProblemKind) else set()
    assert used == {kind.code for kind in table.TABLE} - {kind.code for kind in table.OF_ERRORS}


def test_every_row_of_the_module_is_in_the_table() -> None:
    rows = [value for value in vars(table).values() if isinstance(value, ProblemKind)]
    assert all(row in table.TABLE for row in rows)
    assert len({kind.code for kind in table.TABLE}) == len(table.TABLE)


@pytest.mark.parametrize("kind", table.TABLE, ids=lambda kind: kind.code)
def test_a_row_is_whole(kind: ProblemKind) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.code)
    for words in (kind.title, kind.remedy, kind.clears):
        assert words[0].isupper() or words[0] == "`"
    assert kind.title.endswith((".", "?"))
    assert kind.clears.endswith(".")
    assert kind.of in (None, "source", "handler", "role alias", "listener")


def test_no_code_is_taken_apart(modules: dict[Path, ast.Module]) -> None:
    for file, tree in modules.items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            takes_apart = node.func.attr in ("partition", "split", "startswith", "removeprefix")
            of = node.func.value
            assert not (takes_apart and isinstance(of, ast.Attribute) and of.attr == "code"), file


def test_severities_go_from_the_worst() -> None:
    assert [item.value for item in Severity] == ["error", "warning", "notice"]
