"""JSON that somebody else wrote, in orders, answers and files of other agents: objects that anything can be done with.

What the parser takes may be nested as deeply as the stack is at that moment; whoever writes it out again, or shows it,
from a few calls further in, would have no stack left for that.
"""

import json
import re
from collections.abc import Callable
from typing import Any

DEPTH = 64  # objects and lists within each other
_AWS = 2  # of them an answer has that are AWS's own; what others wrote begins below

# A text that has no end takes the rest: to look for one from each quote would take the square of the length.
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)


def read(payload: bytes | str, number: Callable[[str], object] | None = None) -> object:
    """Parses a payload.

    Args:
        payload: JSON.
        number: Makes what a number becomes of the text that it is; None: a number.

    Raises:
        ValueError: It is not JSON, or is nested deeper than ``DEPTH``.
    """
    try:
        found: object = json.loads(
            payload, parse_int=number, parse_float=number, parse_constant=number
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    if _is_deep(found):
        raise ValueError("nested too deep")
    return found


def read_object(payload: bytes) -> dict[str, Any] | None:
    """Parses a payload as a JSON object; None if it is not one."""
    try:
        found = read(payload)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def read_answer(payload: bytes) -> dict[str, Any]:
    """The object that an answer of AWS's is, or an empty one; what others wrote in it is null where it is too deep."""
    return read_object(payload) or read_object(_without_depths(payload)) or {}


def _without_depths(payload: bytes) -> bytes:
    found, last, start, depth, deepest = bytearray(), 0, 0, 0, 0
    for token in _BRACKETS.finditer(payload):
        if token[0] in b"[{":
            depth += 1
            if depth == _AWS + 1:
                start, deepest = token.start(), depth
            deepest = max(deepest, depth)
        elif token[0] in b"]}":
            if depth == _AWS + 1 and deepest > DEPTH:
                found += payload[last:start] + b"null"
                last = token.end()
            depth -= 1
    return bytes(found + payload[last:])


def _is_deep(found: object) -> bool:
    level = [found] if isinstance(found, dict | list) else []
    for _ in range(DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
