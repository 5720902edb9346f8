"""What happened in a rehearsal, device by device: noted as it happens, written to a file, joined with other parts."""

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from fleet_cloud.errors import FleetCloudError

SCHEMA = 1
STEPS = ("connect", "certificate", "register", "prove")


@dataclasses.dataclass(kw_only=True)
class Life:
    """One device; moments in seconds since the rehearsal began, nothing where it is not so far.

    ``steps`` are the seconds that each of ``STEPS`` took when it worked; ``requests`` are those that count in quotas.
    """

    name: str
    powered: float | None = None
    contact: float | None = None
    done: float | None = None
    requests: int = 0
    rejected: int = 0
    cuts: int = 0
    why: str = ""
    steps: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusal:
    """Something that did not work: when, at what, and what was said: ``429``, ``server-busy``."""

    at: float
    request: str
    said: str


@dataclasses.dataclass(kw_only=True)
class Journal:
    """All devices of one process, and what was refused.

    ``began`` in Unix seconds: parts that ran on several machines are joined by it. ``asked`` is what was rehearsed.
    """

    asked: Mapping[str, object]
    began: float
    lives: list[Life]
    refusals: list[Refusal] = dataclasses.field(default_factory=list)
    ended: float | None = None
    memory: int = 0  # bytes a device
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock, repr=False)

    def refused(self, life: Life, refusal: Refusal) -> None:
        """Notes what did not work."""
        with self.lock:
            self.refusals.append(refusal)
            life.rejected += 1
            life.why = f"{refusal.request}: {refusal.said}"

    def dump(self) -> dict[str, object]:
        """Returns it for a file."""
        with self.lock:
            return {
                "schema": SCHEMA,
                "asked": dict(self.asked),
                "began": self.began,
                "ended": self.ended,
                "memory": self.memory,
                "devices": [dataclasses.asdict(life) for life in self.lives],
                "refusals": [dataclasses.asdict(refusal) for refusal in self.refusals],
            }


def load(found: Any, where: str) -> Journal:  # noqa: ANN401 - JSON
    """Reads what ``dump`` wrote.

    Raises:
        FleetCloudError: It is something else.
    """
    try:
        return _journal(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FleetCloudError(
            f"{where} is not a report of a rehearsal",
            remedy="pass report.json files that this version of fleet-cloud rehearse wrote",
            code="report-unreadable",
        ) from error


def _journal(found: Mapping[str, Any]) -> Journal:
    if found["schema"] != SCHEMA:
        raise ValueError(found["schema"])
    return Journal(
        asked={str(key): value for key, value in found["asked"].items()},
        began=float(found["began"]),
        ended=None if found["ended"] is None else float(found["ended"]),
        memory=int(found["memory"]),
        lives=[_checked(Life(**life)) for life in found["devices"]],
        refusals=[Refusal(**refusal) for refusal in found["refusals"]],
    )


def merged(parts: Sequence[Journal]) -> Journal:
    """Joins the parts of one rehearsal, which several machines ran.

    Raises:
        FleetCloudError: They are not parts of one, or one is there twice.
    """
    first = parts[0]
    asked = [{**part.asked, "shard": None} for part in parts]
    shards = [part.asked.get("shard") for part in parts]
    if any(other != asked[0] for other in asked) or len({str(shard) for shard in shards}) < len(
        parts
    ):
        raise FleetCloudError(
            "these reports are not the parts of one rehearsal",
            remedy="pass each part once, all with the same --devices, --power-on and --quota",
            code="reports-differ",
        )
    began = min(part.began for part in parts)
    return Journal(
        asked={**first.asked, "shard": None, "parts": [*shards]},
        began=began,
        ended=max((part.ended for part in parts if part.ended is not None), default=None),
        memory=max(part.memory for part in parts),
        lives=[_later(life, part.began - began) for part in parts for life in part.lives],
        refusals=[
            dataclasses.replace(refusal, at=refusal.at + part.began - began)
            for part in parts
            for refusal in part.refusals
        ],
    )


def _later(life: Life, seconds: float) -> Life:
    moved = {
        name: None if moment is None else moment + seconds
        for name, moment in (
            ("powered", life.powered),
            ("contact", life.contact),
            ("done", life.done),
        )
    }
    return dataclasses.replace(life, **moved)  # type: ignore[arg-type]


def _checked(life: Life) -> Life:
    numbers: list[object] = [life.powered, life.contact, life.done, *life.steps.values()]
    numbers += [life.requests, life.rejected, life.cuts]
    texts: list[object] = [life.name, life.why]
    if not all(number is None or isinstance(number, int | float) for number in numbers):
        raise TypeError("a time that is not a number")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a name that is not text")
    return life
