"""Rows of the queue's file, from memory where they were stored a moment ago: what drains fast is not read again."""

from collections.abc import Callable, Iterable, Sequence

from fleet_agent.telemetry import rows
from fleet_agent.telemetry.chunks import Row
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.model import SHIFT, Topic

# Kept in memory, at most: those that are not sent soon are read from the file.
MOST = 1000
MOST_BYTES = 256 * 1024


class Recent:
    """The last rows that were stored, in memory, before the file.

    Args:
        file: Has all of them.
    """

    def __init__(self, file: Database) -> None:
        self._file = file
        self._rows: dict[int, Row] = {}
        self._bytes = 0

    def put(self, stored: Sequence[Row]) -> None:
        """Keeps rows that are in the file now, in place of older ones where there is no room for both."""
        size = rows.size(stored)
        if len(self._rows) + len(stored) > MOST or self._bytes + size > MOST_BYTES:
            self._rows.clear()
            self._bytes = 0
            if len(stored) > MOST or size > MOST_BYTES:
                return
        self._rows.update((row[0], row) for row in stored)
        self._bytes += size

    def take(
        self,
        topic: Topic,
        first: int,
        end: int,
        is_enough: Callable[[Row], bool],
        *,
        newest: bool,
    ) -> list[Row]:
        """A topic's rows that follow each other, up to the one (not the first) that ``is_enough``, or some of them.

        Args:
            topic: Whose.
            first: Sequence of the first.
            end: Behind the last.
            is_enough: Asked once for each row.
            newest: From the last one on.

        Returns:
            In that order; none when a damaged file was replaced.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        base = topic.number << SHIFT
        identifiers = range(base + first, base + end)

        def up_to_enough(readings: Iterable[Row | None]) -> list[Row]:
            found: list[Row] = []
            for row in readings:
                if row is None or (is_enough(row) and found):
                    break
                found.append(row)
            return found

        found = up_to_enough(map(self._rows.get, reversed(identifiers) if newest else identifiers))
        if not found:
            found = rows.read(self._file, topic, first, end, up_to_enough, newest=newest) or []
        for row in found:
            self.drop(row[0])
        return found

    def drop(self, identifier: int) -> None:
        """It is under way, or to be deleted."""
        row = self._rows.pop(identifier, None)
        if row is not None:
            self._bytes -= rows.size([row])
