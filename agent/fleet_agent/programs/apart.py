"""Does in a child process what a daemon needs for a moment, so that it does not carry the imports for ever.

By a fork, and so once, before any thread lives: the YAML parser and the checker of the configuration are 2 MB of 25,
and a fork of a small process costs less than the start of another. What comes later is called ``aside``.
"""

import os
import pickle
import threading
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


def apart(work: Callable[[], T], meanwhile: Callable[[], object] = lambda: None) -> T:
    """Return what ``work`` returns, without keeping what it imports.

    What fails in the child is done again here, where it is reported: ``work`` may run twice.

    Args:
        work: Done in the child.
        meanwhile: Done here until the child has finished.

    Raises:
        RuntimeError: There are threads already; what they hold would be held for ever in the child.
    """
    if threading.active_count() > 1:
        raise RuntimeError("a fork beside threads")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _send(work, writer)
    os.close(writer)
    meanwhile()
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
        sent = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0 or not sent:
        return work()
    return cast("T", pickle.loads(sent))  # noqa: S301 - from our own child over our own pipe


def _send(work: Callable[[], object], writer: int) -> None:
    """In the child: send the result and end, whatever happens, without running the parent's exit handlers."""
    status = 1
    try:
        with open(writer, "wb") as pipe:
            pipe.write(pickle.dumps(work()))
        status = 0
    finally:
        os._exit(status)
