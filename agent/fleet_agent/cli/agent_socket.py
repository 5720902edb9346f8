"""Connects a verb to the running agent: finds its socket, and opens a connection."""

import argparse
import os
import socket
import threading
from pathlib import Path

from fleet_agent.cli import flags
from fleet_agent.clock import SystemClock
from fleet_agent.config.paths import SERVICE_RUNTIME_DIR
from fleet_agent.errors import DeviceError, RefusedError, UnreachableError
from fleet_agent.process.listeners import too_long

NOT_RUNNING = "agent-not-running"

_LONGEST = 1e6  # seconds that a socket can wait
_AGAIN = 0.05  # seconds between tries while the backlog is full


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Gives a verb the flags that say which agent is meant."""
    parser.add_argument(
        "--state-dir",
        dest="state_dir",
        metavar="DIR",
        help="state directory of the running agent",
    )
    parser.add_argument(
        "--runtime-dir",
        dest="runtime_dir",
        metavar="DIR",
        help="runtime directory of the running agent",
    )


def path_of(arguments: argparse.Namespace, name: str) -> Path:
    """The socket of the agent that the flags name; the installed one is found without reading its configuration."""
    if arguments.runtime_dir is not None:
        return Path(arguments.runtime_dir) / name
    installed = SERVICE_RUNTIME_DIR / name
    is_named = arguments.config or arguments.state_dir or os.environ.get("FLEET_AGENT_CONFIG")
    if not is_named and installed.exists():
        return installed
    try:
        return flags.directories(arguments)[1] / name
    except DeviceError:
        if is_named:
            raise
        return installed  # the configuration is not for every user to read


def connect(path: Path, timeout: float | None, *, missing: str, denied: str) -> socket.socket:
    """Connects to the agent.

    Args:
        path: The socket.
        timeout: Seconds for each wait; None: no limit.
        missing: What the configuration must have for the socket to exist, for the error.
        denied: How to let a user open it, for the error.

    Raises:
        RefusedError: This user may not open it.
        UnreachableError: No program listens there, or can.
    """
    if why := too_long(path):
        raise UnreachableError(
            f"No agent is listening on {path}: {why}.",
            remedy="Set a shorter runtime_dir in the agent's configuration, and restart it; or give --runtime-dir.",
            code=NOT_RUNNING,
        )
    clock = SystemClock()
    until = clock.monotonic() + (timeout or _LONGEST)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(min(timeout, _LONGEST) if timeout else None)
    while True:
        try:
            client.connect(str(path))
        except BlockingIOError:
            # The listener's backlog is full.
            if clock.monotonic() < until:
                threading.Event().wait(_AGAIN)
                continue
            client.close()
            raise UnreachableError(
                f"The agent does not accept a connection on {path}.",
                remedy="See fleet-agent status, or raise --timeout.",
                code="timeout",
            ) from None
        except PermissionError as error:
            client.close()
            raise RefusedError(
                f"This user may not open {path}.", remedy=denied, code="socket-denied"
            ) from error
        except OSError as error:
            client.close()
            raise UnreachableError(
                f"No agent is listening on {path}: {error.strerror or error}.",
                remedy=f"Check that it is running: systemctl status fleet-agent; it needs {missing}.",
                code=NOT_RUNNING,
            ) from error
        else:
            return client
