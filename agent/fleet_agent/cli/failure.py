"""How a command that failed ends: an exception becomes words, or JSON, and an exit status."""

import errno
import os

from fleet_agent.cli.outcome import answer_json, note
from fleet_agent.errors import AgentError, ConfigurationError, DeviceError, Exit, UsageError
from fleet_agent.printable import line as printable
from fleet_agent.process import log, notify, starved
from fleet_agent.process.mailbox import StopRequested
from fleet_agent.process.streams import OutputError
from fleet_agent.session.sdk import misfit

# A command that did what it should, but whose answer could not be written; one that was ended by Ctrl-C.
_UNWRITTEN = 1
_INTERRUPTED = 130


def status_of(error: BaseException, *, as_json: bool) -> int:
    """Reports why a command ended early, and returns its exit status.

    Raises:
        BaseException: The error itself, if it is a bug, or not an error.
    """
    match error:
        case AgentError():
            return _report(error, as_json=as_json)
        case StopRequested():
            return int(Exit.DONE)
        case KeyboardInterrupt():
            return _INTERRUPTED
        case OutputError():
            return unwritten(error, int(Exit.DONE))
        case Exception() if (known := _known(error)) is not None:
            return _report(known, as_json=as_json)
        case _:
            raise error


def _known(error: Exception) -> AgentError | None:
    """What to report of an exception that may come up anywhere; None: it is a bug, and shows its traceback."""
    if (lack := starved.lack(error)) is not None:
        return lack
    if isinstance(error, ImportError | AttributeError):
        return misfit(error)
    if isinstance(error, OSError):
        return _missing_directory() or _barred(error)
    return None


def _missing_directory() -> UsageError | None:
    """The error for a path relative to a current directory that was removed."""
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() is the same, and longer
    except FileNotFoundError:
        return UsageError(
            "The current directory was removed.",
            remedy="Change to another directory: cd",
            code="usage",
        )
    return None


def _barred(error: OSError) -> DeviceError | None:
    """The error for a path that this user may not even look up."""
    if error.errno not in (errno.EACCES, errno.ENAMETOOLONG) or error.filename is None:
        return None
    return DeviceError(
        f"Cannot read {error.filename}: {error.strerror}.",
        remedy="Run as root, with sudo, or as the agent's user. If it was that user: sudo fleet-agent doctor --fix"
        if error.errno == errno.EACCES
        else "Choose another place; see fleet-agent config show",
        code="not-readable",
    )


def unwritten(error: OutputError, status: int) -> int:
    """The exit status of a command whose answer could not be written: what it did stands, but all is not well."""
    if str(error):
        note(f"fleet-agent: {error}")
    return status or _UNWRITTEN


def _report(error: AgentError, *, as_json: bool) -> int:
    where = f"{error.step}: " if error.step else ""
    problems = error.problems if isinstance(error, ConfigurationError) else ()
    title = f"{where}{error.title}"
    details = [f"  {line}" for line in (*problems, error.remedy)]
    if not isinstance(error, UsageError) and (gone := _missing_directory()):
        details.append(
            f"  {gone.title} A path that does not begin with / leads nowhere. {gone.remedy}"
        )
    words = "\n".join(map(printable, (title, *details)))
    if not log.failed(words, problem=error.code, step=error.step):
        note(f"fleet-agent: {title}", *details)
    notify.status(title)  # `systemctl status` shows it of a failed unit too
    if as_json:
        facts = {
            "code": error.code,
            "step": error.step,
            "title": error.title,
            "remedy": error.remedy,
            **({"problems": list(problems)} if problems else {}),
        }
        try:
            answer_json({"error": facts})
        except OutputError as lost:
            return unwritten(lost, int(error.exit_status))
    return int(error.exit_status)
