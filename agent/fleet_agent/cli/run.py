"""``fleet-agent run``: what the service starts.

Every other verb reads its command line in this process. The daemon has a worker read it, with the configuration: what
that imports is never in the daemon's memory, and takes no longer than the daemon's own imports.
"""

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.cli.outcome import Outcome
from fleet_agent.config import checked
from fleet_agent.config.paths import config_file
from fleet_agent.daemon import service
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.process import log
from fleet_agent.programs.worker import Worker

if TYPE_CHECKING:
    import argparse

_ALLOW_VOLATILE = "--allow-volatile"
_AS_OWNER = "--as-owner"


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: "argparse.ArgumentParser",
) -> None:
    """Adds the verb."""
    from fleet_agent.cli import flags

    parser = subparsers.add_parser(
        "run",
        parents=[common],
        help="run the daemon: provision if needed, publish readings, carry out orders",
        description="Runs the daemon: provisions if needed, connects as the thing, publishes readings and carries "
        "out orders, until SIGTERM.",
    )
    flags.add_settings(parser)
    flags.add_owner(parser)
    flags.add_allow_volatile(parser)


def start(words: list[str], worker: Worker) -> Outcome:
    """Runs the verb; ends when it is asked to, or by an error."""
    log.set_up(verbose=False)
    with contextlib.closing(worker):
        service.run(functools.partial(options, words), _kept(words), worker)
    return Outcome()


def options(words: list[str]) -> StartOptions:
    """Returns the options of command line and configuration; called in a worker process.

    Raises:
        AgentError: One of them is wrong.
    """
    from fleet_agent.cli import flags
    from fleet_agent.cli.parser import parse

    arguments = parse(words)
    return StartOptions(
        settings=flags.settings(arguments),
        configuration=_configuration(words),
        allow_volatile=arguments.allow_volatile,
        any_owner=arguments.as_owner,
        is_verbose=arguments.verbose,
    )


def _kept(words: list[str]) -> StartOptions | None:
    """The options of a configuration that was checked: known without argparse and YAML."""
    path = _configuration(words)
    settings = path and checked.recall(path)
    if not settings:
        return None
    return StartOptions(
        settings=settings,
        configuration=path,
        allow_volatile=_ALLOW_VOLATILE in words,
        any_owner=_AS_OWNER in words,
        is_verbose=False,
    )


def _configuration(words: list[str]) -> Path | None:
    """The configuration file, where the command line gives no other setting."""
    match [word for word in words[1:] if word not in (_ALLOW_VOLATILE, _AS_OWNER)]:
        case []:
            given = None
        case ["--config", given]:
            pass
        case _:
            return None
    return config_file(given, os.environ)[0]
