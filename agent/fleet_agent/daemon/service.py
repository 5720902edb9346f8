"""What the unit starts: it has command line and configuration read beside, and imports the SDK meanwhile."""

import contextlib
import gc
from collections.abc import Callable

# Both sides of the fork need these: imported once, before it.
from fleet_agent.config import paths, units  # noqa: F401
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.health import status  # noqa: F401
from fleet_agent.mailbox import hold_requests
from fleet_agent.programs.aside import Aside


def run(read: Callable[[], StartOptions]) -> None:
    """Provisions if need be, then carries readings up and orders down until asked to stop.

    Args:
        read: Reads command line and configuration; in another program, so it must be picklable.

    Raises:
        AgentError: Something on the device must be changed first.
        StopRequested: Asked to end while provisioning, and everything is closed.
    """
    hold_requests()
    # What is imported stays: to search it for garbage while it grows takes a twentieth of the start.
    gc.disable()
    # The only fork of the agent's: before any thread lives. argparse and the YAML parser stay there.
    with contextlib.closing(Aside.forked()) as beside:
        beside.ask(read)
        from fleet_agent.daemon import start

        start.start(read, beside)
