"""Every failure a user can meet, one class a cause of exit status.

A failure has what went wrong (``title``), what to do about it (``remedy``) and has a short stable ``code`` for
scripts. Foreign exceptions stop at the seam where they arise and become one of these, with ``from``. The command line
turns them into words and an exit status in one place; anything else is a bug and shows its traceback.
"""

import enum
import json
from typing import ClassVar

from fleet_agent import pasted
from fleet_agent.printable import printable

# The server ended the connection instead of answering the CONNECT: a refusal, once it goes on for a while.
CONNECT_UNANSWERED = "connect-unanswered"

# The server closed the connection in the middle of the handshakes, though TLS itself works.
CONNECT_CLOSED = "connect-closed"

# TLS itself, at the server's end, does not accept the certificate.
CERTIFICATE_REFUSED = "certificate-refused"

# The server's certificate looks out of date: its fault, or our clock's.
DATES = "server-certificate-dates"

# Whoever answers at the endpoint has shown no certificate that the CA vouches for.
SERVER_UNTRUSTED = "server-untrusted"

# The proxy wants a user and a password, or others.
PROXY_PASSWORD = "proxy-password"  # noqa: S105 - a code

# A certificate and a key that belong together, but that TLS does not accept.
PAIR_UNUSABLE = "pair-unusable"

# A file of the credential in use is missing, empty, cut off or something else.
CREDENTIAL_DAMAGED = "credential-damaged"

# The agent's own records cannot be read as what it wrote.
STATE_DAMAGED = "state-damaged"

# The attempt under way is for something else than what is asked for now.
ATTEMPT_DIFFERS = "attempt-differs"

# What AWS registered is another thing than this device is.
THING_CHANGED = "thing-changed"

# RegisterThing's answer makes a topic of the configuration impossible; nothing of it was kept.
ANSWER_UNFIT = "answer-unfit"
CLAIM_EXPIRED = "claim-expired"
CERTIFICATE_EXPIRED = "certificate-expired"

# A policy lacks a statement.
NOT_ALLOWED = "not-allowed"

# CONNACK, with a reason that is no policy's.
CONNECT_REFUSED = "connect-refused"

# AWS does not accept the certificate signing request.
CSR_REFUSED = "csr-refused"

# AWS answers a request of provisioning with a refusal: the hook, the template or its role.
PROVISIONING_REFUSED = "provisioning-refused"


class Exit(enum.IntEnum):
    """Exit statuses (sysexits.h where it has one); the unit restarts on all but 2 and 78."""

    DONE = 0
    USAGE = 2
    UNREACHABLE = 69
    CANNOT_WRITE = 73
    TEMPORARY = 75
    REFUSED = 77
    WRONG_ON_DEVICE = 78


class AgentError(Exception):
    """A failure with a cause that the user can act on.

    Args:
        title: One sentence: what failed, naming the file, topic or policy statement.
        remedy: One sentence: what to type or change next.
        code: Stable slug for scripts, for example ``claim-expired``.
    """

    exit_status: ClassVar[Exit]

    def __init__(self, title: str, *, remedy: str, code: str) -> None:
        super().__init__(title)
        self.title = title
        self.remedy = remedy
        self.code = code
        self.step: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Goes through a pipe as what it is, whatever its class is made from."""
        return _again, (type(self), self.args, self.__dict__)


def _again(
    cls: type[AgentError], args: tuple[object, ...], values: dict[str, object]
) -> AgentError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(values)
    return error


class UsageError(AgentError):
    """The command line asks for something that makes no sense."""

    exit_status = Exit.USAGE


class UnreachableError(AgentError):
    """The endpoint did not answer: name, route, port, time-out, or a clock that never came."""

    exit_status = Exit.UNREACHABLE


class StateDirectoryError(AgentError):
    """The state directory cannot be written, or not be read: the disk is full, read-only, failing."""

    exit_status = Exit.CANNOT_WRITE


class StateDamagedError(StateDirectoryError):
    """Something in the state directory is not as the agent wrote it, or may not be read: no restart mends that."""

    exit_status = Exit.WRONG_ON_DEVICE


class TemporaryError(AgentError):
    """Refused for now: throttled, a server error, or another agent holds the lock."""

    exit_status = Exit.TEMPORARY


class RefusedError(AgentError):
    """AWS refused: a policy, a hook, a template, an inactive certificate."""

    exit_status = Exit.REFUSED


class NotApprovedError(RefusedError):
    """The cloud does not let this device register (the template's hook said no); an approval later is enough."""


class NotAllowedError(RefusedError):
    """An AWS IoT policy lacks a statement; the error gives it ready to paste, unless it would allow more than this.

    Args:
        who: ``claim`` or ``thing``: whose certificate the policy is attached to.
        action: Such as ``iot:Publish``.
        resource: Such as ``topic/dt/pump-7/system``, without the ARN's beginning.
        endpoint: Its name has the partition and the region.
        is_pattern: A wildcard in the resource is ours.
        is_foreign: The sender of a message chose the resource: no operator shall allow it on our advice.
    """

    def __init__(
        self,
        who: str,
        action: str,
        resource: str,
        *,
        endpoint: str = "",
        is_pattern: bool = False,
        is_foreign: bool = False,
    ) -> None:
        if is_foreign:
            remedy = "The sender of the message chose that topic: allow it only if every sender may choose it."
        elif pasted.is_wild(resource) and not is_pattern:
            remedy = pasted.WILD
        else:
            statement = pasted.arn_of(endpoint).statement(action, resource)
            remedy = f"Add to that policy: {json.dumps(statement)}"
        super().__init__(
            f"The {who}'s policy does not allow {action} on {printable(resource)}.",
            remedy=remedy,
            code=NOT_ALLOWED,
        )


class DeviceError(AgentError):
    """Wrong on the device itself: configuration, PEM, key, expired claim, CA, CSR. Waiting does not heal it."""

    exit_status = Exit.WRONG_ON_DEVICE


class ConfigurationError(DeviceError):
    """The configuration has errors; ``problems`` lists all of them, a line each."""

    def __init__(self, title: str, *, remedy: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(title, remedy=remedy, code="configuration")
        self.problems = problems
