"""Every failure a user can meet: what failed, and what to type next.

Anything else that is raised is a bug and shows its traceback.
"""

import enum
from collections.abc import Sequence
from typing import ClassVar

# An ``aws`` command failed, and nothing more is known.
COMMAND_FAILED = "command-failed"


class Exit(enum.IntEnum):
    """The exit statuses."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


class FleetCloudError(Exception):
    """A failure whose cause and remedy the user is shown.

    Args:
        title: One sentence: what failed, naming the file, ARN or command.
        remedy: What to type or change next.
        code: Stable slug for scripts.
        details: More about what failed, a line each.
    """

    exit_status: ClassVar[Exit] = Exit.FAILED

    def __init__(self, title: str, *, remedy: str, code: str, details: Sequence[str] = ()) -> None:
        super().__init__(title)
        self.title = title
        self.remedy = remedy
        self.code = code
        self.details = details


class UsageError(FleetCloudError):
    """The command line asks for something that is not valid."""

    exit_status = Exit.USAGE

    def __init__(self, title: str, *, remedy: str, details: Sequence[str] = ()) -> None:
        super().__init__(title, remedy=remedy, code="usage", details=details)


class CommandError(FleetCloudError):
    """A command that was started failed.

    Args:
        title: As for every error.
        remedy: As for every error.
        code: As for every error; for AWS the code that AWS gave, such as ``AccessDenied``.
        command: The command as the user could type it.
        said: What it wrote on stderr.
        cause: The likely cause; empty when unknown.
    """

    def __init__(
        self, title: str, *, remedy: str, code: str, command: str, said: str, cause: str = ""
    ) -> None:
        super().__init__(title, remedy=remedy, code=code)
        self.command = command
        self.said = said
        self.cause = cause
