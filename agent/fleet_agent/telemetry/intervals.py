"""Sets of whole numbers that come in runs: which readings of a topic are not under way. Pure.

A list of ``[first, end)`` pairs, ascending and apart from each other; mostly there is one.
"""

import bisect
from collections.abc import Iterator, Sequence

Runs = list[tuple[int, int]]


def add(runs: Runs, first: int, end: int) -> None:
    """Puts the numbers from ``first`` up to, not with, ``end`` in; none of them is in yet."""
    at = bisect.bisect(runs, (first, end))
    if at < len(runs) and runs[at][0] == end:
        end = runs.pop(at)[1]
    if at and runs[at - 1][1] == first:
        runs[at - 1] = (runs[at - 1][0], end)
    else:
        runs.insert(at, (first, end))


def take(runs: Runs, most: int, *, from_end: bool = False) -> tuple[int, int]:
    """Takes at most ``most`` numbers that follow each other out, from the lowest or the highest ones on.

    Returns:
        The first and the end, which is not one of them.
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


def remove(runs: Runs, number: int) -> None:
    """Takes out one that is in."""
    at = _at(runs, number)
    first, end = runs[at]
    runs[at : at + 1] = [run for run in ((first, number), (number + 1, end)) if run[0] < run[1]]


def at_or_after(runs: Runs, number: int) -> int | None:
    """The lowest of those that are in, and not below the number; None: there is none."""
    at = _at(runs, number)
    if at >= 0 and number < runs[at][1]:
        return number
    return runs[at + 1][0] if at + 1 < len(runs) else None


def _at(runs: Runs, number: int) -> int:
    """Where the last run stands that does not begin behind the number."""
    return bisect.bisect(runs, number, key=_first) - 1


def _first(run: tuple[int, int]) -> int:
    return run[0]


def of(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The runs that ascending numbers make: the first and the end of each."""
    if numbers and numbers[-1] - numbers[0] == len(numbers) - 1:
        yield numbers[0], numbers[-1] + 1
        return
    start = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[start], numbers[index - 1] + 1
            start = index
