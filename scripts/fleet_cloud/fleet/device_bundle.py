"""What ``fleet-agent doctor --bundle`` collected on a device: its events for the timeline."""

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import timeline
from fleet_cloud.fleet.timeline import Event
from fleet_cloud.local import files

_PREFIX = "fleet-agent/"
_LARGEST = 16 * 1024 * 1024
_READERS = {
    "state/ledger.jsonl": timeline.of_ledger,
    "runtime/status.json": timeline.of_status,
    "journal.txt": timeline.of_journal,
}


def read(path: Path) -> list[Event]:
    """Returns the events in a bundle.

    Raises:
        UsageError: The file is not a bundle.
    """
    try:
        texts = _texts(path)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UsageError(
            f"--bundle {path}: {getattr(error, 'strerror', None) or 'not a bundle'}",
            remedy="pass the file that fleet-agent doctor --bundle FILE wrote on the device",
        ) from error
    if not texts:
        raise UsageError(
            f"--bundle {path} contains nothing about a device",
            remedy="pass the file that fleet-agent doctor --bundle FILE wrote on the device",
        )
    return [*_events(texts)]


def _texts(path: Path) -> Mapping[str, str]:
    """Returns the files that are read; nothing is unpacked, whatever the archive names."""
    found = {}
    with files.opened(path) as file, tarfile.open(fileobj=file, mode="r:gz") as archive:
        for member in archive:
            name = member.name.removeprefix(_PREFIX)
            if name in _READERS and member.isfile() and member.size <= _LARGEST:
                stream = archive.extractfile(member)
                found[name] = stream.read(_LARGEST).decode(errors="replace") if stream else ""
    return found


def _events(texts: Mapping[str, str]) -> Iterator[Event]:
    for name, text in texts.items():
        yield from _READERS[name](text)
