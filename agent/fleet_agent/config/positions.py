"""Values that know where they were written: what YAML and flags become before they are checked.

``yaml_document`` turns text into nodes, ``flag_document`` does the same for flags, ``merge`` lays
one over the other. What is wrong on the way is collected, not raised. No YAML constructor runs:
a scalar stays the text it was, with the kind that YAML gave it, so that "no" can be explained.
"""

import dataclasses
from collections.abc import Mapping as Dictionary
from typing import Literal

MAX_DEPTH = 32  # the format needs 8; deeper is an accident or an attack
MAX_SHOWN = 60  # characters of a wrong value that a message repeats
MAX_WORDS = 300  # characters of a message that repeats names from the file
MAX_NODES = 5_000  # aliases count each time they are used: a bomb ends here

Kind = Literal["string", "integer", "number", "boolean", "null", "other"]


def shown(text: str, most: int = MAX_SHOWN) -> str:
    """Returns a text fit for a message: printable, short, and nothing of a PEM block."""
    if "-----BEGIN" in text:
        return "(PEM text)"
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= most else printable[:most] + "…"


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A position in a file, or a flag.

    Attributes:
        source: The file's path, or the flag.
        folder: Where relative paths in it start.
        line: From 1; None for a flag.
        column: From 1, in characters; None for a flag.
    """

    source: str
    folder: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """``file:line:column``, or the flag alone."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A fault: where, in which key (dotted), what, and what to write instead."""

    mark: Mark
    key: str
    text: str
    suggestion: str = ""

    def __str__(self) -> str:
        """One line for the user."""
        key = f"{'.'.join(shown(part) for part in self.key.split('.'))}: " if self.key else ""
        suggestion = f" ({shown(self.suggestion, MAX_WORDS)})" if self.suggestion else ""
        return f"{self.mark}: {key}{shown(self.text, MAX_WORDS)}{suggestion}"


@dataclasses.dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, as the text that was written."""

    mark: Mark
    kind: Kind
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Sequence:
    """A list of the document, with where it stands."""

    mark: Mark
    items: "tuple[Node, ...]"


@dataclasses.dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping: key → where the key stands, and its value."""

    mark: Mark
    entries: "dict[str, tuple[Mark, Node]]"


Node = Scalar | Sequence | Mapping


def as_written(node: "Node | None") -> object:
    """Returns mappings, lists and texts, each scalar as it stood in the file; None for what YAML calls null.

    Nothing is lost of a value then: ``0123`` and ``1.10`` stay what somebody typed.
    """
    if isinstance(node, Mapping):
        return {key: as_written(inner) for key, (_, inner) in node.entries.items()}
    if isinstance(node, Sequence):
        return [as_written(inner) for inner in node.items]
    return None if node is None or node.kind == "null" else node.text


def merge(base: Node, over: Node, path: tuple[str, ...] = ()) -> Node:
    """Lays one document over another: mappings merge key by key, everything else is replaced.

    A template parameter is replaced whole: ``{dmi: x}`` over ``{mac: auto}`` must not become both.
    """
    is_parameter = path[:2] == ("provisioning", "parameters") and len(path) > 2  # noqa: PLR2004
    if is_parameter or not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    entries = dict(base.entries)
    for key, (mark, node) in over.entries.items():
        merged = merge(entries[key][1], node, (*path, key)) if key in entries else node
        entries[key] = (mark, merged)
    return Mapping(base.mark, entries)


def flag_document(values: Dictionary[str, tuple[str, object]], folder: str) -> Mapping:
    """Turns flags into a document.

    Args:
        values: Dotted key → the flag's name and its value: strings, numbers, booleans, None, and
            lists and mappings of those.
        folder: Where relative paths start: the current directory.
    """
    root = Mapping(Mark("flags", folder), {})
    for dotted, (flag, value) in values.items():
        mark = Mark(flag, folder)
        node = _plain(value, mark)
        for key in reversed(dotted.split(".")):
            node = Mapping(mark, {key: (mark, node)})
        merged = merge(root, node)
        assert isinstance(merged, Mapping)  # noqa: S101 - both are
        root = merged
    return root


def _plain(value: object, mark: Mark, depth: int = 0) -> Node:
    if depth > MAX_DEPTH:
        return Scalar(mark, "other", "too deep")
    if isinstance(value, Dictionary):
        entries = {str(key): (mark, _plain(item, mark, depth + 1)) for key, item in value.items()}
        return Mapping(mark, entries)
    if isinstance(value, list | tuple):
        return Sequence(mark, tuple(_plain(item, mark, depth + 1) for item in value))
    if value is None:
        return Scalar(mark, "null", "null")
    if isinstance(value, bool):
        return Scalar(mark, "boolean", str(value).lower())
    kinds: dict[type, Kind] = {str: "string", int: "integer", float: "number"}
    return Scalar(mark, kinds.get(type(value), "other"), str(value))
