"""A cache of the rows stored last: a queue that drains fast does not read them back from the file."""

from collections.abc import Iterable, Sequence

from fleet_agent.telemetry import rows
from fleet_agent.telemetry.chunks import PAYLOAD, Row
from fleet_agent.telemetry.database import Database
from fleet_agent.telemetry.model import SHIFT, Topic

# Limits: rows that are not sent soon are read from the file.
MOST = 1000
MOST_BYTES = 256 * 1024


class RowCache:
    """The rows stored last, in memory, in front of the file.

    Args:
        file: Has all of them.
    """

    def __init__(self, file: Database) -> None:
        self._file = file
        self._rows: dict[int, Row] = {}
        self._bytes = 0

    def put(self, stored: Sequence[Row]) -> None:
        """Caches rows that were just stored; older ones make room."""
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
        size: int,
        *,
        newest: bool,
    ) -> list[Row]:
        """Takes consecutive rows of a topic, or fewer of them than there are.

        Args:
            topic: Theirs.
            first: Sequence of the first.
            end: Sequence after the last.
            size: Bytes of payloads and their separators, at most, unless the first alone has more.
            newest: Start with the last.

        Returns:
            The rows in that order; none when a damaged file was replaced.

        Raises:
            StateDirectoryError: The file cannot be read.
        """
        base = topic.number << SHIFT
        identifiers = range(base + first, base + end)

        def up_to_enough(readings: Iterable[Row | None]) -> list[Row]:
            found: list[Row] = []
            left = size
            for row in readings:
                if row is None:
                    break
                left -= len(row[PAYLOAD]) + 1
                if left < 0 and found:
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
        """Removes a row that is in flight or to be deleted."""
        row = self._rows.pop(identifier, None)
        if row is not None:
            self._bytes -= len(row[PAYLOAD])
