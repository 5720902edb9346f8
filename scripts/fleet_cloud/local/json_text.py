"""JSON from somewhere else, as a value or a ValueError. Pure."""

import json
from collections.abc import Callable

_DEEPEST = 64
_TOO_DEEP = "its brackets are nested too deeply"


def parsed(
    text: str | bytes, pairs: Callable[[list[tuple[str, object]]], object] | None = None
) -> object:
    """Returns what a JSON text says.

    Args:
        text: The text.
        pairs: Makes an object of its pairs.

    Raises:
        ValueError: It is not JSON, or goes deeper than anything that means something.
    """
    try:
        found: object = json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return found


def shallow(value: object) -> object:
    """Returns a value that may be walked through by functions that call themselves.

    Raises:
        ValueError: It goes deeper than anything that means something.
    """
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)
