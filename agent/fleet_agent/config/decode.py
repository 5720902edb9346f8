"""Nodes → ``Settings``, led by the types and annotations in ``settings``; all problems collected.

Pure. This module knows sections, choices and lists; single values are ``scalars``.
"""

import dataclasses
import typing
from collections.abc import Mapping as AbstractMapping
from typing import Any

from fleet_agent.config import scalars
from fleet_agent.config.annotations import (
    Meta,
    alternatives,
    annotate,
    annotation,
    choices,
    hints,
    is_union,
    required,
    unwrap,
)
from fleet_agent.config.positions import Mapping, Mark, Node, Problem, Scalar, Sequence
from fleet_agent.config.settings import Settings
from fleet_agent.config.shape import Doc, Items, Keys, WrongValueError

# Stands for a value that has a problem; never leaves this module.
_WRONG: Any = object()

# What a flag is called, where that is not simply its key: the names of the SDK's own sample.
FLAGS = {
    "claim.certificate": "--cert",
    "claim.private_key": "--key",
    "identity.certificate": "--cert",
    "identity.private_key": "--key",
    "identity.thing_name": "--thing-name",
    "identity.thing_name_from": "--thing-name-from",
    "provisioning.key.type": "--key-type",
    "provisioning.template": "--template-name",
    "provisioning.parameters": "--template-parameters",
    "provisioning.method": "--method",
}


def flag(key: str) -> str:
    """Returns the name of the flag that stands for a dotted key."""
    return FLAGS.get(key, "--" + key.replace(".", "-").replace("_", "-"))


def decode(root: Mapping, problems: list[Problem]) -> Settings | None:
    """Turns a document into settings.

    Args:
        root: The merged document.
        problems: What is wrong is added here.

    Returns:
        The settings; None when anything in the document was wrong.
    """
    settings = _Decoder(problems).value(Settings, root, "")
    return settings if isinstance(settings, Settings) else None


class _Decoder:
    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def value(self, kind: Any, node: Node, key: str) -> Any:  # noqa: ANN401 - any of the types below
        """Reads one node as one type; the arms are the kinds of type that ``settings`` uses."""
        kind, meta = unwrap(kind)
        origin = typing.get_origin(kind)
        try:
            if is_union(kind):
                return self._union(kind, node, key, meta)
            if dataclasses.is_dataclass(kind):
                return self._section(typing.cast("type", kind), node, key)
            if origin is tuple:
                return self._list(typing.get_args(kind)[0], node, key, meta)
            if origin is AbstractMapping:
                return self._mapping(typing.get_args(kind)[1], node, key, meta)
            return scalars.scalar(kind, node, meta)
        except WrongValueError as error:
            return self._wrong(node.mark, key, error)

    def _wrong(self, mark: Mark, key: str, error: WrongValueError) -> Any:  # noqa: ANN401
        self._problems.append(Problem(mark, key, error.problem, error.suggestion))
        return _WRONG

    def _section(self, cls: type, node: Node, key: str) -> Any:  # noqa: ANN401
        if not isinstance(node, Mapping):
            raise WrongValueError(
                f"is {scalars.description(node)}; a mapping is expected",
                f"keys: {', '.join(hints(cls))}",
            )
        known = hints(cls)
        excused = set()  # a missing key is not reported again when its misspelling was
        values = {}
        for name, (mark, entry) in node.entries.items():
            dotted = _join(key, name)
            if name in known:
                excused.add(name)
                values[name] = self.value(known[name], entry, dotted)
            else:
                close, hint = _suggest(name, known)
                excused.add(close)
                self._wrong(mark, dotted, WrongValueError("is an unknown key", hint))
        missing = [name for name in required(cls) if name not in node.entries]
        for name in missing:
            if name not in excused:
                self._wrong(node.mark, _join(key, name), _missing(known[name], _join(key, name)))
        if missing or any(value is _WRONG for value in values.values()):
            return _WRONG
        return cls(**values)

    def _union(self, kind: Any, node: Node, key: str, meta: Meta) -> Any:  # noqa: ANN401
        members, nullable = alternatives(kind)
        if nullable and isinstance(node, Scalar) and node.kind == "null":
            return None
        if len(members) == 1:
            return self.value(annotate(members[0], meta), node, key)
        if not isinstance(node, Mapping):
            text = [member for member in members if not dataclasses.is_dataclass(member)]
            if not text:
                names = ", ".join(choices(members))
                raise WrongValueError(
                    f"is {scalars.description(node)}; a mapping is expected", f"one of: {names}"
                )
            return self.value(text[0], node, key)
        return self._choice(choices(members), node, key)

    def _choice(self, known: dict[str, type], node: Mapping, key: str) -> Any:  # noqa: ANN401
        found = [name for name in node.entries if name in known]
        if len(found) == 1:
            return self._section(known[found[0]], node, key)
        if found:
            words = f"has {' and '.join(found)}, which exclude each other"
            hint = "keep one, or list them under first_of"
            raise WrongValueError(
                words, hint if "first_of" in known else "split it into two entries"
            )
        if not node.entries:
            raise WrongValueError("is an empty mapping", f"one of: {', '.join(known)}")
        name, (mark, _) = next(iter(node.entries.items()))
        import difflib

        close = difflib.get_close_matches(_plain(name), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"one of: {', '.join(known)}"
        return self._wrong(mark, _join(key, name), WrongValueError("is not a known source", hint))

    def _list(self, kind: Any, node: Node, key: str, meta: Meta) -> Any:  # noqa: ANN401
        if not isinstance(node, Sequence):
            hint = 'begin each entry with "- ", or write [a, b]'
            raise WrongValueError(f"is {scalars.description(node)}; a list is expected", hint)
        limits = annotation(meta, Items)
        if limits and not limits.low <= len(node.items) <= limits.high:
            count = f"{limits.low} to {limits.high}"
            raise WrongValueError(f"has {len(node.items)} entries; {count} are allowed")
        values = []
        for number, item in enumerate(node.items):
            is_special = number == 0 and limits and limits.first
            item_kind = annotate(str, (limits.first,)) if is_special and limits else kind
            values.append(self.value(item_kind, item, f"{key}[{number}]"))
        return _WRONG if any(value is _WRONG for value in values) else tuple(values)

    def _mapping(self, kind: Any, node: Node, key: str, meta: Meta) -> Any:  # noqa: ANN401
        if not isinstance(node, Mapping):
            raise WrongValueError(f"is {scalars.description(node)}; a mapping is expected")
        rules = annotation(meta, Keys)
        values = {}
        for name, (mark, entry) in node.entries.items():
            dotted = _join(key, name)
            values[name] = self.value(kind, entry, dotted)
            try:
                if rules:
                    rules.text.check(name)
            except WrongValueError as error:
                values[name] = self._wrong(mark, dotted, error)
        return _WRONG if any(value is _WRONG for value in values.values()) else values


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _plain(name: str) -> str:
    """Returns a key as it would be spelled here: snake_case, from camelCase and kebab-case too."""
    spaced = "".join(f"_{c.lower()}" if c.isupper() else c for c in name.replace("-", "_"))
    return spaced.strip("_").replace("__", "_")


def _missing(kind: Any, key: str) -> WrongValueError:  # noqa: ANN401 - a type expression
    doc = annotation(unwrap(kind)[1], Doc)
    example = f"write, for example, {doc.example}" if doc else "add it"
    return WrongValueError(
        "is missing", f"{example} or pass {flag(key)}" if _has_flag(key) else example
    )


def _has_flag(key: str) -> bool:
    """Whether a flag can stand for a key: for a single value with a fixed place, in no list and below no name."""
    kind: Any = Settings
    for name in key.split("."):
        members, _ = alternatives(kind)
        if len(members) != 1 or not dataclasses.is_dataclass(members[0]):
            return False
        kind = unwrap(hints(typing.cast("type", members[0])).get(name))[0]
    return not dataclasses.is_dataclass(kind)


def _suggest(name: str, known: dict[str, Any]) -> tuple[str, str]:
    """Returns the key that was probably meant (empty: no idea) and the words for it."""
    import difflib

    close = difflib.get_close_matches(_plain(name), known, 1)
    if close:
        return close[0], f"did you mean {close[0]}?"
    homes = [home for home in _homes(Settings, "", name) if home]
    if homes:
        return "", f"it belongs under {' or '.join(homes)}"
    return "", f"known keys: {', '.join(known)}"


def _homes(cls: type, path: str, name: str) -> list[str]:
    """Returns the sections that have a key of this name; lists and choices are not looked into."""
    found = []
    for key, annotated in hints(cls).items():
        if key == name:
            found.append(path)
        members, _ = alternatives(unwrap(annotated)[0])
        if len(members) == 1 and dataclasses.is_dataclass(members[0]):
            found += _homes(typing.cast("type", members[0]), _join(path, key), name)
    return found
