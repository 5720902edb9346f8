"""Sets of integers as intervals: which readings of a topic are unsent. Pure.

An ascending list of disjoint, non-adjacent ``[first, end)`` pairs; usually there is one.
"""

import bisect
from collections.abc import Iterator, Sequence

Intervals = list[tuple[int, int]]


def add(runs: Intervals, first: int, end: int) -> None:
    """Adds ``[first, end)``, none of which is in the set yet."""
    at = bisect.bisect(runs, (first, end))
    if at < len(runs) and runs[at][0] == end:
        end = runs.pop(at)[1]
    if at and runs[at - 1][1] == first:
        runs[at - 1] = (runs[at - 1][0], end)
    else:
        runs.insert(at, (first, end))


def take(runs: Intervals, most: int, *, from_end: bool = False) -> tuple[int, int]:
    """Removes at most ``most`` consecutive numbers, the lowest or the highest.

    Returns:
        The removed interval ``[first, end)``.
    """
    at = -1 if from_end else 0
    first, end = runs[at]
    if end - first <= most:
        del runs[at]
        return first, end
    if from_end:
        runs[at] = (first, end - most)
        return end - most, end
    runs[at] = (first + most, end)
    return first, first + most


def remove(runs: Intervals, number: int) -> None:
    """Removes a number that is in the set."""
    at = _at(runs, number)
    first, end = runs[at]
    runs[at : at + 1] = [run for run in ((first, number), (number + 1, end)) if run[0] < run[1]]


def at_or_after(runs: Intervals, number: int) -> int | None:
    """Returns the lowest member that is not below ``number``; None: there is none."""
    at = _at(runs, number)
    if at >= 0 and number < runs[at][1]:
        return number
    return runs[at + 1][0] if at + 1 < len(runs) else None


def _at(runs: Intervals, number: int) -> int:
    """Returns the position of the last interval that starts at or before ``number``."""
    return bisect.bisect(runs, number, key=_first) - 1


def _first(run: tuple[int, int]) -> int:
    return run[0]


def of(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields ascending numbers as intervals."""
    if numbers and numbers[-1] - numbers[0] == len(numbers) - 1:
        yield numbers[0], numbers[-1] + 1
        return
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[start], numbers[index - 1] + 1
            start = index
