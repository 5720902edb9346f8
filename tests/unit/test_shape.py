"""The shape of the code: two numbers and no circles, no exceptions."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

LONGEST_BODY = 50
LONGEST_MODULE = 399

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    path
    for folder in (
        "agent/fleet_agent",
        "agent/fleet_agent_helper",
        "sandbox/iot_sandbox",
        "scripts/fleet_cloud",
        "scripts/fleet_acceptance",
    )
    for path in (ROOT / folder).rglob("*.py")
)
# Programs of one file or a few.
PROGRAMS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "scripts").glob("*.py")])


def too_long(source: str) -> Iterator[str]:
    if (lines := source.count("\n")) > LONGEST_MODULE:
        yield f"the module has {lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > LONGEST_BODY:
                yield f"{node.name} has {lines} lines"


@pytest.mark.parametrize(
    "path", [*MODULES, *PROGRAMS], ids=lambda path: str(path.relative_to(ROOT))
)
def test_nothing_is_too_long_and_every_module_says_what_it_is_for(path: Path) -> None:
    source = path.read_text()
    assert list(too_long(source)) == []
    assert ast.get_docstring(ast.parse(source))


def test_every_folder_with_code_is_a_package() -> None:
    assert {path.parent for path in MODULES} == {
        path.parent for path in MODULES if path.name == "__init__.py"
    }


def test_what_is_too_long_is_found() -> None:
    body = "    x = 1\n" * 50
    assert not list(too_long(f'def f():\n    """Doc.\n\n    More.\n    """\n{body}'))
    assert list(too_long(f"def f():\n{body}    x = 2\n")) == ["f has 51 lines"]
    assert list(too_long("x = 1\n" * 400)) == ["the module has 400 lines"]


# Pronouns, which look like a verb and its third person: it, its.
PRONOUNS = {"It", "Our"}


def beginnings(source: str) -> Iterator[str]:
    """The first words of docstrings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found = re.match(r"[A-Z][a-z]+\b", ast.get_docstring(node) or "")
            yield from [found[0]] if found else []


def third_person(verb: str) -> str:
    if re.search(r"(s|x|z|sh|ch|o)$", verb):
        return f"{verb}es"
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return {"Have": "Has", "Be": "Is"}.get(verb, f"{verb}s")


def imperatives(words: Collection[str]) -> set[str]:
    """Verbs with which some docstrings begin that begin in the third person elsewhere."""
    return {word for word in {*words} - PRONOUNS if third_person(word) in words}


def test_docstrings_are_in_the_indicative() -> None:
    paths = [*MODULES, *(ROOT / "tests").rglob("*.py")]
    words = [word for path in paths for word in beginnings(path.read_text())]
    assert imperatives(words) == set()


def test_an_imperative_is_found() -> None:
    source = 'def f():\n    """Read it."""\n\n\nclass A:\n    """Reads it."""\n'
    assert [*beginnings(source)] == ["Read", "Reads"]
    words = ["Reads", "Read", "Have", "Has", "Carry", "Carries", "Push", "Pushes", "It", "Its"]
    assert imperatives(words) == {"Read", "Have", "Carry", "Push"}


# Words that are no name by themselves: they do not describe what they name.
EMPTY_NAMES = {"one", "what", "says", "somebody"}
# Words that neither a name nor a docstring has: programs report, log, record, send and receive.
BANNED_WORDS = {
    "anew", "hear", "heard", "hears", "heir", "nobody", "tell", "tells", "told", "whom", "wish", "world",
}  # fmt: skip


def names(source: str) -> Iterator[str]:
    """The names that a module gives."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case _:
                pass


def words(name: str) -> set[str]:
    """The words of a name, in snake case or camel case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def unfit_names(source: str) -> set[str]:
    """The names that are empty, or have a banned word in them."""
    return {
        name
        for name in names(source)
        if name.strip("_").lower() in EMPTY_NAMES or words(name) & BANNED_WORDS
    }


def unfit_docstrings(source: str) -> set[str]:
    """The banned words in docstrings."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, kinds)
    ]
    return {word for text in found for word in re.findall(r"[a-z]+", text.lower())} & BANNED_WORDS


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_docstrings_have_plain_words(path: Path) -> None:
    source = path.read_text()
    assert unfit_names(source) == set()
    assert unfit_docstrings(source) == set()


def test_an_unfit_word_is_found() -> None:
    source = (
        'class ToldTwice:\n    """Hears of it."""\n\n'
        "    def what(self, one, heard_at):\n        self.anew = [wish for wish in one]\n"
    )
    assert unfit_names(source) == {"ToldTwice", "what", "one", "heard_at", "anew", "wish"}
    assert unfit_docstrings(source) == {"hears"}


def imports(source: str, known: Collection[str]) -> set[str]:
    """The known modules that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # What is no module of its own is something in the one that it is imported from.
            found |= {name if name in known else node.module for name in names}
    return found & set(known)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, in the end."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for name in graph[waiting.pop()] & graph.keys() - seen:
                seen.add(name)
                waiting.append(name)
        return seen

    all_reached = {name: reached(name) for name in graph}
    found = {
        tuple(sorted(other for other in all_reached[name] if name in all_reached[other]))
        for name in graph
    }
    return sorted([*circle] for circle in found if circle)


def test_no_modules_import_each_other() -> None:
    agent = ROOT / "agent"
    sources = {}
    for path in MODULES:
        if path.is_relative_to(agent / "fleet_agent"):
            parts = path.relative_to(agent).with_suffix("").parts
            sources[".".join(part for part in parts if part != "__init__")] = path.read_text()
    assert circles({name: imports(text, sources) for name, text in sources.items()}) == []


def test_a_circle_is_found() -> None:
    lazily = "def f():\n    from fleet_agent import b\n"
    assert imports(lazily, ["fleet_agent", "fleet_agent.b"]) == {"fleet_agent.b"}
    assert imports(lazily, ["fleet_agent"]) == {"fleet_agent"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d2"}}) == [["b", "c"]]
