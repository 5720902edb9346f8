"""What else may happen to this fleet: simulated with the measured latencies. Pure but for chance."""

import dataclasses
from collections.abc import Mapping

from fleet_cloud.rehearsal.case import LATENCY, Case, Latency, agent
from fleet_cloud.rehearsal.figures import Figures, percentile
from fleet_cloud.rehearsal.power import Cut, PowerOn
from fleet_cloud.rehearsal.sandbox import HOOK_SECONDS
from fleet_cloud.rehearsal.simulation import Herd

SEEDS = 5
MOST = 20_000  # devices that are simulated: more of them come to the same, in units of the bound
CUT = "power-cuts"
HALF = "half-quota"
SLOW = "slow-hook"
WORDS = {
    HALF: "half the quota",
    SLOW: f"the hook takes {HOOK_SECONDS:g} s",
    CUT: "one device in ten loses power",
}
DARK = 0.06  # of the bound: how long a power cut lasts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What was rehearsed: so many devices, a quota, a window for first contacts, how they get power."""

    devices: int
    quota: float
    spread: float
    power: PowerOn


def cut(bound: float) -> Cut:
    """Returns the power cut of one device in ten, while the fleet comes."""
    return Cut(at=bound / 2, seconds=DARK * bound, of=10)


def latency(figures: Figures) -> Latency:
    """Returns what the rehearsal met; where it met nothing, what is usual."""
    usual = LATENCY
    return Latency(
        connect=_median(figures, "connect", usual.connect),
        answer=_median(figures, "certificate", usual.answer),
        register=_median(figures, "register", usual.register),
    )


def simulated(rehearsed: Rehearsed, met: Latency, variation: str = "") -> dict[str, object]:
    """Returns the outcome, the median of some runs."""
    devices = min(rehearsed.devices, MOST)
    scale = devices / rehearsed.devices
    quota = rehearsed.quota / 2 if variation == HALF else rehearsed.quota
    case = Case(devices, per_second=quota, power=rehearsed.power, latency=met)
    if variation == SLOW:
        case = dataclasses.replace(case, latency=dataclasses.replace(met, register=HOOK_SECONDS))
    if variation == CUT:
        case = dataclasses.replace(case, cuts=(cut(case.bound),))
    client = agent(rehearsed.spread * scale)
    runs = [Herd(case, client, seed).run() for seed in range(1, SEEDS + 1)]
    all_by = sorted(run.times_bound for run in runs)[SEEDS // 2]
    most_by = sorted(percentile(sorted(run.done or [0.0]), 0.99) / case.bound for run in runs)
    bound = rehearsed.devices / quota
    return {
        "what": variation or "as rehearsed",
        "words": WORDS.get(variation, "as rehearsed"),
        "all_by": round(all_by * bound, 1),
        "all_by_times_bound": round(all_by, 3),
        "most_by_times_bound": round(most_by[SEEDS // 2], 3),
        "requests": round(sum(run.per_device for run in runs) / SEEDS, 2),
        "rejected": round(sum(run.rejected / run.requests for run in runs) / SEEDS, 3),
    }


def _median(figures: Figures, step: str, usual: float) -> float:
    steps = figures["steps"]
    found = steps.get(step) if isinstance(steps, Mapping) else None
    return float(found["p50"]) if found else usual
