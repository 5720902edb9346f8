"""Being somebody else for a moment: root, who runs tests in containers, reads whatever it likes."""

import contextlib
import os
from collections.abc import Iterator

NOBODY = 65534


def as_nobody() -> contextlib.AbstractContextManager[None]:
    """Act as a user that owns nothing; no change for who is not root."""
    return as_user(NOBODY)


@contextlib.contextmanager
def as_user(number: int) -> Iterator[None]:
    """Act as another user; no change for who is not root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
