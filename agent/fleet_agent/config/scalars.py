"""Single values: one node and its annotations in ``settings`` → a Python value, or the words.

Pure. Strict on purpose: no value is converted from one kind to another, because what YAML makes
of ``no``, ``0123`` or ``1:30`` is never what was meant.
"""

import typing
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Literal

from fleet_agent.config import pkcs11_uri, units
from fleet_agent.config.annotations import Meta, annotation
from fleet_agent.config.positions import Mapping, Node, Scalar, Sequence, shown
from fleet_agent.config.shape import Duration, FilePath, Range, Size, Text, WrongValueError

CREDENTIAL = "credential:"

_KINDS = {"integer": "a number", "number": "a number", "boolean": "a boolean"}
_MAX_DIGITS = 18


def description(node: Node) -> str:
    """Describes a value, to be read after "is"."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.kind == "null":
        return "empty"
    if node.kind == "string":
        return f'"{shown(node.text)}"'
    return f"{shown(node.text)}, which YAML reads as {_KINDS.get(node.kind, 'a date or a tagged value')}"


def scalar(kind: Any, node: Node, meta: Meta) -> object:  # noqa: ANN401 - a type expression
    """Reads one value.

    Args:
        kind: str, int, bool, float (a duration) or a ``Literal``.
        node: What was written.
        meta: Its annotations in ``settings``.

    Raises:
        WrongValueError: It is not that, or breaks a rule.
    """
    if typing.get_origin(kind) is Literal:
        return _literal(typing.get_args(kind), node)
    if duration := annotation(meta, Duration):
        parse = units.parse_share if duration.share else units.parse_duration
        return _quantity(node, duration, parse, units.format_duration)
    if size := annotation(meta, Size):
        return _quantity(node, size, units.parse_size, units.format_size)
    if kind is bool:
        return _boolean(node)
    if kind is int:
        return _integer(node, annotation(meta, Range))
    return _string(node, meta)


def _literal(allowed: tuple[object, ...], node: Node) -> object:
    for value in allowed:
        kind = "string" if isinstance(value, str) else "integer"
        if isinstance(node, Scalar) and node.kind == kind and node.text == str(value):
            return value
    names = [str(value) for value in allowed]
    written = node.text if isinstance(node, Scalar) else ""
    import difflib

    close = difflib.get_close_matches(written, names, 1) if len(names) > 1 else []
    hint = f"did you mean {close[0]}?" if close else ""
    is_close_kind = isinstance(node, Scalar) and node.kind == "integer" and 0 in allowed
    found = shown(written) if is_close_kind else description(node)
    raise WrongValueError(f"is {found}; {' or '.join(names)} is expected", hint)


def _boolean(node: Node) -> bool:
    if isinstance(node, Scalar) and node.kind == "boolean":
        return node.text.lower() in {"yes", "true", "on"}
    raise WrongValueError(f"is {description(node)}; true or false is expected")


def _integer(node: Node, limits: Range | None) -> int:
    if not isinstance(node, Scalar) or node.kind != "integer":
        quoted = isinstance(node, Scalar) and node.kind == "string" and node.text.isdecimal()
        hint = "remove the quotes" if quoted else ""
        raise WrongValueError(f"is {description(node)}; a whole number is expected", hint)
    digits = node.text.removeprefix("-")
    is_plain = digits.isdecimal() and len(digits) <= _MAX_DIGITS and str(int(digits)) == digits
    if not is_plain:
        raise WrongValueError(f"is {shown(node.text)}; a plain decimal number is expected")
    number = int(node.text)
    if limits and not limits.low <= number <= limits.high:
        raise WrongValueError(f"is {number}, which is out of range: {limits.low} to {limits.high}")
    return number


def _quantity(
    node: Node,
    limits: Duration | Size,
    parse: Callable[[str], float],
    write: Callable[..., str],
) -> float:
    name, unit = ("duration", "s") if isinstance(limits, Duration) else ("size", "MiB")
    if isinstance(node, Scalar) and node.kind in {"integer", "number"}:
        hint = f'write the unit, for example "{shown(node.text)}{unit}"'
        raise WrongValueError(f"is {shown(node.text)}, a number without a unit", hint)
    if not isinstance(node, Scalar) or node.kind != "string":
        raise WrongValueError(f"is {description(node)}; a {name} is expected")
    try:
        amount = parse(node.text)
    except ValueError as error:
        raise WrongValueError(
            f"is {description(node)}, which is not a {name}", str(error)
        ) from None
    if not isinstance(amount, units.Share) and not limits.low <= amount <= limits.high:
        allowed = f"{write(limits.low)} to {write(limits.high)}"
        raise WrongValueError(f"is {shown(node.text)}, which is out of range: {allowed}")
    return amount


def _string(node: Node, meta: Meta) -> str:
    if not isinstance(node, Scalar) or node.kind == "null":
        raise WrongValueError(f"is {description(node)}; a string is expected")
    if node.kind != "string":
        hint = f'quote it: "{shown(node.text)}"'
        raise WrongValueError(f"is {description(node)}; a string is expected", hint)
    path = annotation(meta, FilePath)
    text = _path(node, path) if path else node.text
    if rules := annotation(meta, Text):
        rules.check(text)
    return text


def _path(node: Scalar, rules: FilePath) -> str:
    text = node.text
    if "-----BEGIN" in text or "\n" in text:
        hint = "write the text into a file and name the file"
        raise WrongValueError("contains the text itself; the path of a file is expected", hint)
    if not text or not text.isprintable():
        raise WrongValueError("is not a path")
    if text.startswith("~"):
        raise WrongValueError('begins with "~", which is not expanded', "write the absolute path")
    if pkcs11_uri.is_uri(text):
        if not rules.token:
            raise WrongValueError("cannot be in a hardware token", "name a path")
        pkcs11_uri.read(text)
        return text
    if not text.startswith(CREDENTIAL):
        return str(PurePath(node.mark.folder) / text)
    name = text.removeprefix(CREDENTIAL)
    if not rules.credential:
        raise WrongValueError("cannot be a systemd credential", "name a path")
    if name in {"", ".", ".."} or "/" in name:
        raise WrongValueError("does not name a systemd credential", f"write {CREDENTIAL}NAME")
    return text
