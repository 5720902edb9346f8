"""Chunks: consecutive readings that share a row of the queue's file, so that a row's cost is paid once. Pure.

The readings of a chunk are consecutive in their topic and differ only in their payloads, which are concatenated. For a
thousand of 200 bytes in one commit that saves a fifth of the writes (docs/decisions/0024-bytes-on-flash.md).
"""

import struct
from collections.abc import Iterable
from typing import Any

from fleet_agent.telemetry.damage import damaged

# A reading as a row: id, time, priority, type, payload, source, era, moment, lifetime.
Row = tuple[Any, ...]
# The first reading's row with all payloads, then the size of each payload; None: a single reading.
Chunk = tuple[Any, ...]

# Limits of a chunk, readings and payload bytes: deleting some readings of it rewrites the others.
MOST = 256
MOST_BYTES = 4096

PAYLOAD = 4  # its position in a row
_SIZE = 2  # bytes of a size


def join(rows: Iterable[Row]) -> list[Chunk]:
    """Combines readings, in the order of their ids, into chunks."""
    chunks: list[Chunk] = []
    run: list[Row] = []
    size = 0
    before = behind = ()
    for row in rows:
        size += len(row[PAYLOAD]) + _SIZE
        if (
            not run
            or size > MOST_BYTES
            or len(run) >= MOST
            or row[0] != run[-1][0] + 1
            or row[1:PAYLOAD] != before
            or row[PAYLOAD + 1 :] != behind
        ):
            if run:
                chunks.append(_chunk(run))
            run, size = [], len(row[PAYLOAD]) + _SIZE
            before, behind = row[1:PAYLOAD], row[PAYLOAD + 1 :]
        run.append(row)
    if run:
        chunks.append(_chunk(run))
    return chunks


def _chunk(run: list[Row]) -> Chunk:
    first = run[0]
    if len(run) == 1:
        return (*first, None)
    payloads = [row[PAYLOAD] for row in run]
    sizes = struct.pack(f"<{len(run)}H", *map(len, payloads))
    return (*first[:PAYLOAD], b"".join(payloads), *first[PAYLOAD + 1 :], sizes)


def split(chunk: Chunk) -> list[Row]:
    """Splits a chunk into its readings.

    Raises:
        sqlite3.Error: The file is damaged.
    """
    *row, sizes = chunk
    first, payloads = row[0], row[PAYLOAD]
    if not isinstance(payloads, bytes):
        raise damaged("a payload is of another type")
    if sizes is None:
        return [tuple(row)]
    before, behind = row[1:PAYLOAD], row[PAYLOAD + 1 :]
    rows: list[Row] = []
    start = 0
    for number, size in enumerate(lengths(sizes, len(payloads))):
        payload = payloads[start : start + size]
        rows.append((first + number, *before, payload, *behind))
        start += size
    return rows


def lengths(sizes: bytes | None, total: int) -> tuple[int, ...]:
    """Returns the size of each payload of a chunk, ``total`` bytes together.

    Raises:
        sqlite3.Error: The file is damaged.
    """
    if sizes is None:
        return (total,)
    try:
        found = struct.unpack(f"<{len(sizes) // _SIZE}H", sizes)
    except (struct.error, TypeError):
        found = ()
    if sum(found) != total or not found:
        raise damaged("payload sizes do not match")
    return found
