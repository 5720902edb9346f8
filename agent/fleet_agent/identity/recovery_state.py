"""The state of a recovery (the ladder back), on disk so that a restart resumes it.

Each time is stored with the boot and the seconds since it, so that setting the clock makes nothing older.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet_agent import clock as clocks
from fleet_agent import files
from fleet_agent.clock import Clock, Uptime
from fleet_agent.errors import StateDirectoryError
from fleet_agent.identity.ladder import Rung
from fleet_agent.record import record

_log = logging.getLogger(__name__)

FILE = "recovery.json"
HISTORY = 20  # entries kept
_SCHEMA = 1
_MOST = 1e11  # seconds; a larger number is no valid time


@record
class Stamp:
    """A moment: Unix seconds, and the same by a clock that does not step."""

    wall: float
    uptime: Uptime


def stamp(clock: Clock) -> Stamp:
    """The moment now."""
    return Stamp(wall=clock.wall(), uptime=clocks.uptime(clock))


def since(moment: Stamp, clock: Clock) -> float:
    """Seconds since then."""
    return clocks.passed(moment.wall, moment.uptime, clock)


@record
class Entry:
    """A rung that was reached: when (Unix seconds) and ``why``."""

    time: float
    rung: Rung
    why: str


@record
class RecoveryState:
    """The state of the recovery of an identity that AWS IoT refuses, and of earlier ones.

    Args:
        rung: How far the device has come.
        why: What brought it there, in words.
        remedy: What a person has to do about it, if anything.
        refused_since: The first refusal (Unix seconds).
        refused_for: Seconds of refusal that count.
        refused: The last refusal.
        delay: Seconds, this device's share of the fleet's spread.
        tries: How often the claim was used since the identity died.
        tried: When it was used last; the next try comes ``wait`` seconds later.
        asked: When a certificate was last asked for, for this identity or an earlier one.
        starts_over: The attempt under way cannot succeed: the next certificate begins another.
        history: The last rungs.
    """

    rung: Rung = Rung.IN_SERVICE
    why: str = ""
    remedy: str = ""
    refused_since: float | None = None
    refused_for: float = 0.0
    refused: Stamp | None = None
    delay: float = 0.0
    tries: int = 0
    tried: Stamp | None = None
    wait: float = 0.0
    asked: Stamp | None = None
    starts_over: bool = False
    history: tuple[Entry, ...] = ()

    def at(self, rung: Rung, why: str, now: float) -> "RecoveryState":
        """The same on another rung; the history skips a device that goes back and forth between two."""
        history = self.history
        if (rung, why) not in [(entry.rung, entry.why) for entry in history[-2:]]:
            history = (*history, Entry(time=now, rung=rung, why=why))[-HISTORY:]
        return dataclasses.replace(self, rung=rung, why=why, remedy="", history=history)

    def in_service(self, why: str, now: float) -> "RecoveryState":
        """Returns the state of a recovered device: only the history, and when a certificate was last requested."""
        return RecoveryState(
            why=why, asked=self.asked, history=self.at(Rung.IN_SERVICE, why, now).history
        )


def read(state_dir: Path) -> RecoveryState:
    """Reads the state; a file that cannot be understood counts as missing."""
    try:
        data = files.read(state_dir / FILE)
        return RecoveryState() if data is None else load(json.loads(data))
    except (StateDirectoryError, ValueError, LookupError, TypeError, RecursionError) as error:
        _log.warning("%s is ignored: %s", FILE, error)
        return RecoveryState()


def write(state_dir: Path, state: RecoveryState) -> None:
    """Writes the state to disk.

    Raises:
        StateDirectoryError: It cannot be written.
    """
    files.write(state_dir / FILE, json.dumps(dump(state), indent=1).encode() + b"\n", 0o600)


def dump(state: RecoveryState) -> dict[str, object]:
    """The state as ``recovery.json`` has it."""
    return {
        "schema": _SCHEMA,
        **dataclasses.asdict(state),
        "rung": state.rung.value,
        "history": [{**vars(entry), "rung": entry.rung.value} for entry in state.history],
    }


def load(value: Mapping[str, Any]) -> RecoveryState:
    """Reads the state from ``recovery.json``.

    Raises:
        LookupError, TypeError, ValueError: It is not as it was written.
    """
    began = value["refused_since"]
    return RecoveryState(
        rung=Rung(value["rung"]),
        why=str(value["why"]),
        remedy=str(value["remedy"]),
        refused_since=None if began is None else _seconds(began),
        refused_for=_seconds(value["refused_for"]),
        refused=_stamp(value["refused"]),
        delay=_seconds(value["delay"]),
        tries=int(_seconds(value["tries"])),
        tried=_stamp(value["tried"]),
        wait=_seconds(value["wait"]),
        asked=_stamp(value["asked"]),
        starts_over=value["starts_over"] is True,
        history=tuple(
            Entry(time=_seconds(item["time"]), rung=Rung(item["rung"]), why=str(item["why"]))
            for item in value["history"]
        ),
    )


def _stamp(value: Mapping[str, Any] | None) -> Stamp | None:
    if value is None:
        return None
    found = value["uptime"]
    uptime = Uptime(boot=str(found["boot"]), monotonic=_seconds(found["monotonic"]))
    return Stamp(wall=_seconds(value["wall"]), uptime=uptime)


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value < _MOST:
        raise TypeError(f"{value!r} is not a time")
    return float(value)


def shown(state: RecoveryState) -> dict[str, object] | None:
    """Returns the part of ``fleet-agent status --json``; None for a device that was never refused."""
    if not state.history:
        return None
    tried = state.tried
    return {
        "rung": state.rung.value,
        "why": state.why,
        "refused_since": _text(state.refused_since),
        "refused_seconds": round(state.refused_for),
        "tries": state.tries,
        "next_try": _text(tried.wall + state.wait if tried else None),
        "certificate_asked_for": _text(state.asked.wall if state.asked else None),
        "history": [
            {"time": clocks.text(entry.time), "rung": entry.rung.value, "why": entry.why}
            for entry in state.history
        ],
    }


def _text(moment: float | None) -> str | None:
    return None if moment is None else clocks.text(moment)
