"""A journal's figures: what the page shows and programs read. Pure."""

import collections
import math
from collections.abc import Mapping, Sequence

from fleet_cloud.rehearsal.journal import STEPS, Journal, Life, Refusal

_BINS = 120  # of the pictures over time
_SHOWN = 100  # devices that are named one by one

Figures = dict[str, object]


def of_journal(journal: Journal, now: float) -> Figures:
    """Returns the figures so far; ``now`` in seconds since the rehearsal began."""
    with journal.lock:
        lives, refusals = [*journal.lives], [*journal.refusals]
    asked = journal.asked
    done = sorted(life.done for life in lives if life.done is not None)
    quota = asked.get("quota")
    bound = len(lives) / quota if isinstance(quota, int | float) and quota > 0 else None
    end = max([now, 1.0, *done[-1:]]) if journal.ended is None else max([1.0, *done[-1:], now])
    width = _width(end)
    return {
        "devices": len(lives),
        "in": len(done),
        "powered": sum(life.powered is not None for life in lives),
        "seconds": round(now, 1),
        "is_running": journal.ended is None,
        "bound_seconds": bound,
        "all_by": _rounded(done[-1]) if len(done) == len(lives) and done else None,
        "all_by_times_bound": _rounded(done[-1] / bound)
        if bound and len(done) == len(lives)
        else None,
        "most_by_times_bound": _rounded(percentile(done, 0.99) / bound)
        if bound and done
        else None,
        "steps": {name: _latency(lives, name) for name in STEPS},
        "own": _spread([life.done - life.contact for life in lives if life.done and life.contact]),
        "requests": _requests(lives),
        "refusals": _refusals(refusals),
        "width": width,
        "arrived": _counted(done, width, end),
        "refused": {
            request: _counted(
                [refusal.at for refusal in refusals if refusal.request == request], width, end
            )
            for request in sorted({refusal.request for refusal in refusals})
        },
        "memory_per_device": journal.memory or None,
        "each": [_shown(life) for life in lives] if len(lives) <= _SHOWN else [],
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """Returns the value that so many of all do not exceed; they are in order."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _width(seconds: float) -> float:
    """Returns the seconds of a bin, in steps that do not change with every look."""
    return 2.0 ** max(-1, math.ceil(math.log2(seconds / _BINS)))


def _counted(moments: Sequence[float], width: float, end: float) -> list[int]:
    bins = [0] * (int(end / width) + 1)
    for moment in moments:
        bins[min(len(bins) - 1, int(moment / width))] += 1
    return bins


def _latency(lives: Sequence[Life], step: str) -> dict[str, float] | None:
    return _spread([life.steps[step] for life in lives if step in life.steps])


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    values.sort()
    return {
        "p50": _rounded(percentile(values, 0.5)),
        "p99": _rounded(percentile(values, 0.99)),
        "most": _rounded(values[-1]),
    }


def _requests(lives: Sequence[Life]) -> dict[str, object] | None:
    known = sorted(life.requests for life in lives if life.done is not None and life.requests)
    if not known:
        return None
    return {
        "mean": _rounded(sum(life.requests for life in lives) / len(lives)),
        "p50": percentile(known, 0.5),
        "p99": percentile(known, 0.99),
        "counts": [
            [number, count] for number, count in sorted(collections.Counter(known).items())
        ],
    }


def _refusals(found: Sequence[Refusal]) -> list[Mapping[str, object]]:
    counted = collections.Counter((each.request, each.said) for each in found)
    return [
        {"request": request, "said": said, "count": count}
        for (request, said), count in counted.most_common()
    ]


def _shown(life: Life) -> dict[str, object]:
    state = "off" if life.powered is None else "waiting"
    if life.done is not None:
        state = "in"
    elif life.contact is not None:
        state = "under way"
    return {
        "name": life.name,
        "state": state,
        "seconds": None if life.done is None else _rounded(life.done),
        "requests": life.requests or None,
        "why": "" if life.done is not None else life.why,
    }


def _rounded(value: float) -> float:
    return round(value, 3)
