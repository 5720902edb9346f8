"""The log of a disk, and the disks that a power cut leaves of it."""

import json
import random
import struct
from pathlib import Path
from typing import Any

from crash.power.blocklog import MARK, Entry, cuts, read

SECTOR = 512
WRITE, FLUSH, FUA = 0, 1, 2


def written(path: Path, *requests: tuple[int, int, bytes]) -> list[Entry]:
    """A log with these requests: flags, first sector, data."""
    log = struct.pack("<QQQI", 0x6A736677736872, 1, len(requests), SECTOR).ljust(SECTOR, b"\0")
    for flags, sector, data in requests:
        block = data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0")
        head = struct.pack("<QQQQ", sector, len(block) // SECTOR, flags, 0)
        log += head.ljust(SECTOR, b"\0") + block
    path.write_bytes(log)
    return read(path)


def test_requests_are_read_with_their_place_and_marks(tmp_path: Path) -> None:
    said = {"provisioned": "c1"}
    first, flush, mark = written(
        tmp_path / "log",
        (WRITE, 8, b"a"),
        (FLUSH, 0, b""),
        (WRITE, 99, MARK + json.dumps(said).encode()),
    )
    assert (first.offset, first.data[:1], first.flushes) == (8 * SECTOR, b"a", False)
    assert flush.flushes
    assert mark.mark == said


def disks(entries: list[Entry]) -> list[tuple[set[int], list[dict[str, Any]]]]:
    """Of each cut the sectors that are on the disk, and the marks before it."""
    base: set[int] = set()
    found = []
    for cut in cuts(entries, 20, random.Random(1)):
        base |= {entry.offset // SECTOR for entry in cut.base}
        extra = {entry.offset // SECTOR for entry in cut.survived}
        found.append((base | extra, list(cut.marks)))
    return found


def test_what_was_flushed_stays_and_of_the_rest_any_part_may(tmp_path: Path) -> None:
    log = (WRITE, 1, b"a"), (WRITE, 2, b"b"), (FLUSH, 0, b""), (WRITE, 3, b"c"), (FLUSH, 0, b"")
    found = [sectors for sectors, _ in disks(written(tmp_path / "log", *log))]
    assert found[:21].count(set()) >= 1
    assert {1} in found
    assert {2} in found
    assert {1, 2} in found
    assert all(sectors >= {1, 2} for sectors in found[21:])
    assert found[-1] == {1, 2, 3}


def test_a_forced_write_is_on_the_disk_at_once(tmp_path: Path) -> None:
    found = disks(written(tmp_path / "log", (WRITE, 1, b"a"), (FUA, 2, b"b"), (FLUSH, 0, b"")))
    assert all(2 in sectors for sectors, _ in found)


def test_a_mark_counts_for_every_cut_after_it(tmp_path: Path) -> None:
    mark = MARK + b'{"reading": "1"}'
    log = (WRITE, 1, b"a"), (FLUSH, 0, b""), (WRITE, 9, mark), (WRITE, 2, b"b"), (FLUSH, 0, b"")
    marks = [len(said) for _, said in disks(written(tmp_path / "log", *log))]
    assert marks == [0] * 21 + [1] * 22
