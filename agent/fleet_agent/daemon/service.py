"""What the unit starts: a worker reads command line and configuration while this process imports the SDK."""

import contextlib
import gc
import os
from collections.abc import Callable

# Both sides of the fork need these: imported once, before it.
from fleet_agent.config import paths, units  # noqa: F401
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.health import status  # noqa: F401
from fleet_agent.process.mailbox import hold_requests
from fleet_agent.programs.worker import Worker


def run(read: Callable[[], StartOptions], kept: StartOptions | None) -> None:
    """Runs the agent: provisions if needed, then publishes readings and carries out orders until asked to stop.

    Args:
        read: Reads command line and configuration; called in a worker, so it must be picklable.
        kept: The options, if their configuration was checked before.

    Raises:
        AgentError: Something on the device must be changed first.
        StopRequested: Asked to end while provisioning, and everything is closed.
    """
    hold_requests()
    known = kept
    # The name is that of ``endings``, which a first start imports beside the worker.
    if "FLEET_AGENT_OPTIONS" in os.environ:
        from fleet_agent.daemon.endings import handed_over

        known = handed_over() or kept
    # Imported modules stay: searching them for garbage while they grow takes a twentieth of the start.
    gc.disable()
    # The agent's only fork, before any thread lives. argparse and the YAML parser stay in it.
    with contextlib.closing(Worker.forked()) as worker:
        if known is None:
            worker.ask(read)
        from fleet_agent.daemon import start

        start.start(read, worker, known)
