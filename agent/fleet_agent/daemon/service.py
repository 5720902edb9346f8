"""What the unit starts: a worker reads command line and configuration while this process imports the SDK."""

import os
from collections.abc import Callable

from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.programs.worker import Worker


def run(read: Callable[[], StartOptions], kept: StartOptions | None, worker: Worker) -> None:
    """Runs the agent: provisions if needed, then publishes readings and carries out orders until asked to stop.

    Args:
        read: Reads command line and configuration; called in the worker, so it must be picklable.
        kept: The options, if their configuration was checked before.
        worker: From the head start.

    Raises:
        AgentError: Something on the device must be changed first.
        StopRequested: Asked to end while provisioning, and everything is closed.
    """
    known = kept
    # The name is that of ``endings``, which a first start imports beside the worker.
    if "FLEET_AGENT_OPTIONS" in os.environ:
        from fleet_agent.daemon.endings import handed_over

        known = handed_over() or kept
    if known is None:
        worker.ask(read)
    from fleet_agent.daemon import start

    start.start(read, worker, known)
