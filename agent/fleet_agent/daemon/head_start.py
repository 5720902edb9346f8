"""What a boot's other core does meanwhile, begun before this one imports the daemon."""

import gc

from fleet_agent.process.mailbox import hold_requests
from fleet_agent.programs.worker import Worker
from fleet_agent.session import entropy


def begin() -> Worker:
    """Returns the daemon's worker, and has the SDK's entropy collected.

    Raises:
        DeviceError: The worker cannot be started.
    """
    hold_requests()
    # Imported modules stay: searching them for garbage while they grow takes a twentieth of the start.
    gc.disable()
    # The agent's only fork, before any thread lives. argparse and the YAML parser stay in it.
    worker = Worker.forked()
    entropy.begin()
    return worker
