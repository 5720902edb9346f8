"""Spreads a fleet's first contacts: each device draws a moment in the fleet's window and keeps it over power cuts.

The moment is in a file on the device: nothing is coordinated, nothing is kept in the cloud.
"""

import json
import logging
from pathlib import Path

from fleet_agent import files
from fleet_agent.clock import BUILT, Clock, jitter
from fleet_agent.credentials.model import Generation
from fleet_agent.errors import StateDirectoryError
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.session import backoff

_log = logging.getLogger(__name__)

FILE = "first-contact.json"
CLOCK_POLL = 5.0  # seconds between looks at a clock that is not set yet


def is_due(found: Generation | None) -> bool:
    """Whether a start has to wait for its moment: a device that has a certificate already goes on at once.

    Few devices have one without an identity, and its ownership token lives an hour.
    """
    return found is None or found.issued is None


def await_turn(window: float, state_dir: Path, clock: Clock, mailbox: Mailbox) -> None:
    """Waits for this device's moment in a window of so many seconds; 0: no window.

    Raises:
        StateDirectoryError: The moment cannot be written down.
        StopRequested: The agent is to end.
    """
    if window <= 0:
        return
    until = clock.monotonic() + window * jitter()
    # Without a clock no moment can be kept. It is mostly set within seconds of the network coming up.
    while clock.wall() < BUILT and clock.monotonic() < until:
        mailbox.sleep(min(CLOCK_POLL, until - clock.monotonic()))
    if clock.wall() < BUILT:
        return
    now = clock.wall()
    path = state_dir / FILE
    planned = _read(path)
    moment = backoff.first_contact(window, planned, now, jitter())
    if moment != planned:
        record = {"schema": 1, "not_before": moment}
        files.write(path, json.dumps(record).encode() + b"\n", 0o600)
    _log.info("first contact in %.0f s, spread over %.0f s", moment - now, window)
    mailbox.sleep(moment - now)


def _read(path: Path) -> float | None:
    """The moment that an earlier start wrote down; an unreadable file counts as none."""
    try:
        moment = json.loads(files.read(path) or b"null")["not_before"]
    except (StateDirectoryError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return moment if isinstance(moment, float) else None
