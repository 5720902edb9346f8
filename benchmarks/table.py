"""What a comparison prints: for each figure each way's median and spread, its ratio to the peer, and the aim.

A ratio is that of one round: both ran a moment apart. What is measured loads the machine itself, so whether the machine
was quiet is judged by the load before.
"""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

QUIET = 0.5  # load on two cores up to which times say much
NOISY = f"noisy (load > {QUIET:g})"
# For --help.
EXPLAINED = (
    "Medians, with the least and the most; a ratio is that to the peer in the same round, and rounds go in random "
    f"order. Where the load of the machine (of a minute) was above {QUIET:g} before, ratios are marked {NOISY}: they "
    "are not worth much then."
)

T = TypeVar("T")


class Load:
    """The machine's load, from before anything is started."""

    def __init__(self) -> None:
        self._before = os.getloadavg()[0]

    @property
    def mark(self) -> str:
        """What stands beside a ratio."""
        return f"  {NOISY}" if self._before > QUIET else ""

    def __str__(self) -> str:
        return f"load {self._before:.1f} before, {os.getloadavg()[0]:.1f} after"


@dataclass(frozen=True)
class Figure(Generic[T]):
    """Something that was measured in each run; ``aims``: by way, for its ratio unless it names a unit."""

    name: str
    value: Callable[[T], float]
    digits: int = 3
    aims: Mapping[str, str] = field(default_factory=dict)


def compare(
    found: Mapping[str, Sequence[T]], peer: str, figures: Sequence[Figure[T]], load: Load
) -> None:
    """Print a block for each figure, with a row for each way.

    Args:
        found: By way, what each round gave.
        peer: The way that ratios are to.
        figures: What is shown.
        load: Of the machine.
    """
    for figure in figures:
        print(f"  {figure.name:<56}{'median':>10}  {'spread':<20}{'ratio':>7}  {'spread':<18}aim")
        theirs = [figure.value(one) for one in found[peer]]
        for name, runs in found.items():
            values = [figure.value(one) for one in runs]
            row = f"    {name:<54}{statistics.median(values):10,.{figure.digits}f}  "
            row += f"{_spread(values, figure.digits):<20}"
            if name != peer:
                row += _ratio(values, theirs, figure.aims.get(name, ""), load)
            print(row.rstrip(), flush=True)


def _ratio(values: Sequence[float], theirs: Sequence[float], aim: str, load: Load) -> str:
    if not all(theirs):  # an idle peer uses nothing
        return f"{'-':>7}  {'':<18}{aim}"
    ratios = [value / other for value, other in zip(values, theirs, strict=True)]
    return f"{statistics.median(ratios):7.2f}  {_spread(ratios, 2):<18}{aim:<22}{load.mark}"


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{min(values):,.{digits}f} to {max(values):,.{digits}f}"
