"""Where a device stands on the ladder back, as it is kept on disk: a restart goes on from there.

Times stand beside the machine's boot and its seconds in it, so that setting the clock makes nothing older.
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
_MOST = 1e11  # seconds; more is no time that anybody can write down


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
    """A rung that was reached: when (Unix seconds), and ``why``, in words."""

    time: float
    rung: Rung
    why: str


@record
class Standing:
    """What is known of an identity that is refused, and of those before.

    Args:
        rung: Where it is.
        why: What brought it there, in words.
        remedy: What to do about it, where somebody has to.
        refused_since: The first refusal (Unix seconds).
        refused_for: Seconds that count.
        refused: The last refusal.
        delay: Seconds, this device's share of the fleet's spread.
        tries: How often the claim was used since the identity died.
        tried: When it was used last; the next try comes ``wait`` seconds later.
        asked: When a certificate was asked for last, of this identity's end or an earlier one's.
        starts_over: An attempt under way leads nowhere: the next certificate begins another.
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

    def at(self, rung: Rung, why: str, now: float) -> "Standing":
        """The same on a rung; the history has no entry for each time that a device goes to and fro between two."""
        history = self.history
        if (rung, why) not in [(entry.rung, entry.why) for entry in history[-2:]]:
            history = (*history, Entry(time=now, rung=rung, why=why))[-HISTORY:]
        return dataclasses.replace(self, rung=rung, why=why, remedy="", history=history)

    def in_service(self, why: str, now: float) -> "Standing":
        """The device is back: all is forgotten but the history, and when a certificate was asked for."""
        return Standing(
            why=why, asked=self.asked, history=self.at(Rung.IN_SERVICE, why, now).history
        )


def read(state_dir: Path) -> Standing:
    """Where the device stands; a file that is not ours to understand is as none."""
    try:
        data = files.read(state_dir / FILE)
        return Standing() if data is None else load(json.loads(data))
    except (StateDirectoryError, ValueError, LookupError, TypeError, RecursionError) as error:
        _log.warning("%s is not read: %s", FILE, error)
        return Standing()


def write(state_dir: Path, standing: Standing) -> None:
    """Writes the standing to disk.

    Raises:
        StateDirectoryError: It cannot be written.
    """
    files.write(state_dir / FILE, json.dumps(dump(standing), indent=1).encode() + b"\n", 0o600)


def dump(standing: Standing) -> dict[str, object]:
    """The standing as ``recovery.json`` has it."""
    return {
        "schema": _SCHEMA,
        **dataclasses.asdict(standing),
        "rung": standing.rung.value,
        "history": [{**vars(entry), "rung": entry.rung.value} for entry in standing.history],
    }


def load(value: Mapping[str, Any]) -> Standing:
    """Reads the standing from ``recovery.json``.

    Raises:
        LookupError, TypeError, ValueError: It is not as it was written.
    """
    began = value["refused_since"]
    return Standing(
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
        raise TypeError(f"{value!r} is no time")
    return float(value)


def shown(standing: Standing) -> dict[str, object] | None:
    """What ``fleet-agent status --json`` shows; None for a device that was never refused."""
    if not standing.history:
        return None
    tried = standing.tried
    return {
        "rung": standing.rung.value,
        "why": standing.why,
        "refused_since": _text(standing.refused_since),
        "refused_seconds": round(standing.refused_for),
        "tries": standing.tries,
        "next_try": _text(tried.wall + standing.wait if tried else None),
        "certificate_asked_for": _text(standing.asked.wall if standing.asked else None),
        "history": [
            {"time": clocks.text(entry.time), "rung": entry.rung.value, "why": entry.why}
            for entry in standing.history
        ],
    }


def _text(moment: float | None) -> str | None:
    return None if moment is None else clocks.text(moment)
