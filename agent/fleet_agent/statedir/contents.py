"""The contents of a state directory: one table for ``reset``, for images, for bundles and for the package's purge."""

import enum
import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

from fleet_agent.record import record


class Kind(enum.Enum):
    """The kind of an entry."""

    LOCK = "one agent at a time"
    IDENTITY = "who this device is"
    LEDGER = "every certificate it ever received"
    QUEUE = "readings that are waiting"
    LIFE = "what this device has done under its identity"
    TOKEN = "what is known of its hardware token"  # noqa: S105 - a word
    SHOWN = "what others may read"


@record
class Entry:
    """One file, or several of one kind.

    Args:
        pattern: Below the state directory, as a shell's.
        kind: What it belongs to.
        is_secret: Whether it holds something that no other user may read, and no bundle may have.
        is_bundled: Whether support needs it.
        image_code: The problem's code when an image holds it; None when that is no problem.
        image_words: What is wrong then.
    """

    pattern: str
    kind: Kind
    is_secret: bool = False
    is_bundled: bool = False
    image_code: str | None = None
    image_words: str = ""


CONTENTS = (
    Entry(pattern="lock", kind=Kind.LOCK),
    # Left where a power cut came while the file system was tried.
    Entry(pattern=".trial*", kind=Kind.LIFE),
    Entry(pattern="credentials", kind=Kind.IDENTITY),
    Entry(
        pattern="credentials/[0-9]*",
        kind=Kind.IDENTITY,
        image_code="image-identity",
        image_words="an identity, which every device made from it would share",
    ),
    Entry(pattern="credentials/current", kind=Kind.IDENTITY),
    Entry(pattern="credentials/*/attempt.json", kind=Kind.IDENTITY, is_bundled=True),
    Entry(pattern="credentials/*/private.pem.key", kind=Kind.IDENTITY, is_secret=True),
    Entry(pattern="credentials/*/key.json", kind=Kind.IDENTITY),
    Entry(pattern="credentials/*/certificate.pem.crt", kind=Kind.IDENTITY, is_bundled=True),
    Entry(pattern="credentials/*/issued.json", kind=Kind.IDENTITY, is_secret=True),
    Entry(pattern="credentials/*/registration.json", kind=Kind.IDENTITY, is_bundled=True),
    Entry(pattern="credentials/*/proven", kind=Kind.IDENTITY, is_bundled=True),
    # What a reset that a power cut interrupted has put aside.
    Entry(pattern="credentials.cleared", kind=Kind.IDENTITY),
    Entry(
        pattern="ledger.jsonl",
        kind=Kind.LEDGER,
        is_bundled=True,
        image_code="image-ledger",
        image_words="the ledger of another device's certificates",
    ),
    # With the journal beside it, and what was set aside as damaged.
    Entry(
        pattern="telemetry.sqlite3*",
        kind=Kind.QUEUE,
        image_code="image-queue",
        image_words="readings of another device",
    ),
    Entry(
        pattern="first-contact.json",
        kind=Kind.LIFE,
        is_bundled=True,
        image_code="image-first-contact",
        image_words="the time of first contact: all devices would connect at once",
    ),
    Entry(
        pattern="fingerprint.json",
        kind=Kind.LIFE,
        image_code="image-fingerprint",
        image_words="the fingerprint of another device's hardware",
    ),
    Entry(pattern="move-to", kind=Kind.LIFE),
    Entry(
        pattern="recovery.json",
        kind=Kind.LIFE,
        is_bundled=True,
        image_code="image-recovery",
        image_words="the recovery state of another device",
    ),
    Entry(pattern="subscribed.json", kind=Kind.LIFE),
    Entry(pattern="claim-starts.json", kind=Kind.LIFE),
    Entry(pattern="claim-served", kind=Kind.LIFE),
    Entry(
        pattern="credentials-http.key",
        kind=Kind.LIFE,
        is_secret=True,
        image_code="image-http-key",
        image_words="the key of another device's tokens for AWS credentials",
    ),
    Entry(pattern="orders", kind=Kind.LIFE),
    Entry(
        pattern="orders/*",
        kind=Kind.LIFE,
        image_code="image-orders",
        image_words="orders for another device",
    ),
    Entry(
        pattern="source-*.json",
        kind=Kind.LIFE,
        image_code="image-position",
        image_words="how far another device has read a file",
    ),
    # A reset leaves it: the hardware token counts wrong tries on, whoever the device is.
    Entry(
        pattern="pin-refused.json",
        kind=Kind.TOKEN,
        is_secret=True,
        image_code="image-pin",
        image_words="a PIN that the hardware token of another device refused",
    ),
    Entry(pattern="run", kind=Kind.SHOWN),
    Entry(pattern="run/status.json", kind=Kind.SHOWN, is_bundled=True),
    Entry(pattern="run/identity.json", kind=Kind.SHOWN, is_bundled=True),
    Entry(pattern="run/telemetry.sock", kind=Kind.SHOWN),
    Entry(pattern="run/credentials.sock", kind=Kind.SHOWN),
)


def patterns(*kinds: Kind) -> list[str]:
    """The patterns of these kinds that are no part of another entry."""
    return [
        entry.pattern for entry in CONTENTS if entry.kind in kinds and "/" not in entry.pattern
    ]


_TOP = tuple(entry.pattern for entry in CONTENTS if "/" not in entry.pattern)


def ours(folder: Path) -> Iterator[str]:
    """The names in a state directory that are the agent's, those half written included.

    Raises:
        OSError: It cannot be listed.
    """
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names
        if any(
            fnmatch.fnmatchcase(name, known) or fnmatch.fnmatchcase(name, f".{known}.tmp")
            for known in _TOP
        ):
            yield name


def tree(folder: Path) -> Iterator[Path]:
    """All that is the agent's in a state directory, in the order of the paths; no link is followed.

    Raises:
        OSError: It cannot be listed.
    """
    for name in ours(folder):
        yield folder / name
        if not (folder / name).is_symlink():
            yield from sorted((folder / name).rglob("*"))
