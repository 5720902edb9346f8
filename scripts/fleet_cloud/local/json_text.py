"""JSON from somewhere else, as a value or a ValueError. Pure."""

import json
from collections.abc import Callable


def parsed(
    text: str | bytes, pairs: Callable[[list[tuple[str, object]]], object] | None = None
) -> object:
    """Return what a JSON text says.

    Args:
        text: The text.
        pairs: Makes an object of its pairs.

    Raises:
        ValueError: It is not JSON, or goes deeper than anything that means something.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
