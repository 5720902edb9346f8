"""Does in a child process what a daemon of years needs for a moment, so that it does not carry the imports for ever.

The YAML parser and the checker of the configuration are 2 MB of 25, the hashes of the fingerprint 4 (with OpenSSL).
"""

import os
import pickle
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, without keeping what it imports.

    What fails in the child is done again here, where it can be told: ``work`` may run twice.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _send(work, writer)
    os.close(writer)
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
