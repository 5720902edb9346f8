"""What ends the command, or one section of it, each with its words."""

import enum


class Exit(enum.IntEnum):
    """How the command ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DIFFERS = 3
    INTERRUPTED = 130


class AcceptanceError(Exception):
    """The command cannot go on, or a section failed; the text says why and what to do."""


class NotMeasuredError(Exception):
    """A fact could not be measured here; the text says why."""
