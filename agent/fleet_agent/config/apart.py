"""Reads the configuration in a child process, so that a daemon of years does not carry the YAML parser and the checker.

They are needed for a moment and would stay: 2 MB of 25 (benchmarks/provision).
"""

import os
import pickle
from collections.abc import Callable

from fleet_agent.config.settings import Settings


def load_apart(load: Callable[[], Settings]) -> Settings:
    """Return what ``load`` returns, without keeping what it imports; called before there are threads.

    Raises:
        ConfigurationError: As ``load`` does: what fails in the child is done again here, where it can be told.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _send(load, writer)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
        sent = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0 or not sent:
        return load()
    settings = pickle.loads(sent)  # noqa: S301 - from our own child over our own pipe
    return settings if isinstance(settings, Settings) else load()


def _send(load: Callable[[], Settings], writer: int) -> None:
    """In the child: send the settings and end, whatever happens, without running the parent's exit handlers."""
    status = 1
    try:
        with open(writer, "wb") as pipe:
            pipe.write(pickle.dumps(load()))
        status = 0
    finally:
        os._exit(status)
