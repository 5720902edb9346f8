"""``fleet-agent run``: what the service starts.

Every other verb reads its command line in this process. The daemon has a worker read it, with the configuration: what
that imports is never in the daemon's memory, and takes no longer than the daemon's own imports.
"""

import functools
from typing import TYPE_CHECKING

from fleet_agent.cli.outcome import Outcome
from fleet_agent.daemon import service
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.process import log

if TYPE_CHECKING:
    import argparse


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


def start(words: list[str]) -> Outcome:
    """Runs the verb; ends when it is asked to, or by an error."""
    log.set_up(verbose=False)
    service.run(functools.partial(options, words))
    return Outcome()


def options(words: list[str]) -> StartOptions:
    """Returns the options of command line and configuration; called in a worker process.

    Raises:
        AgentError: One of them is wrong.
    """
    from fleet_agent.cli import flags
    from fleet_agent.cli.parser import command_line

    arguments = command_line("run").parse_args(words)
    return StartOptions(
        settings=flags.settings(arguments),
        allow_volatile=arguments.allow_volatile,
        any_owner=arguments.as_owner,
        is_verbose=arguments.verbose,
    )
