"""The protocol of ``credentials.sock``: requests and answers, each one packet. Pure.

Documented in docs/reference/credentials.md.
"""

import json
from collections.abc import Mapping

from fleet_agent.errors import (
    AgentError,
    DeviceError,
    RefusedError,
    StateDirectoryError,
    TemporaryError,
    UnreachableError,
    UsageError,
)
from fleet_agent.record import record

NAME = "credentials.sock"  # in the runtime directory
MAX_PACKET = 4096  # bytes of a request
MAX_ANSWER = 256 * 1024

_FIELDS = frozenset({"role_alias", "token"})
_KINDS: Mapping[int, type[AgentError]] = {
    int(kind.exit_status): kind
    for kind in (
        UsageError,
        UnreachableError,
        StateDirectoryError,
        TemporaryError,
        RefusedError,
        DeviceError,
    )
}


@record
class Request:
    """A request for a role alias's credentials (empty: the only one), or for the user's HTTP token."""

    alias: str = ""
    is_token: bool = False


def parse(data: bytes) -> Request:
    """Parses a request.

    Raises:
        UsageError: It does not follow the protocol.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise _bad("The packet is not JSON.") from None
    if not isinstance(value, dict) or not value.keys() <= _FIELDS:
        raise _bad("The packet is not a JSON object of `role_alias` and `token`.")
    alias, is_token = value.get("role_alias", ""), value.get("token", False)
    if not isinstance(alias, str) or not isinstance(is_token, bool):
        raise _bad("`role_alias` is not text, or `token` neither true nor false.")
    return Request(alias=alias, is_token=is_token)


def answer(**members: object) -> bytes:
    """Builds the answer to a granted request."""
    return json.dumps({"ok": True, **members}).encode()


def refusal(error: AgentError) -> bytes:
    """Builds the answer to a refused request; ``status`` is the error's exit status in a command."""
    words = {
        "code": error.code,
        "title": error.title,
        "remedy": error.remedy,
        "status": int(error.exit_status),
    }
    return json.dumps({"ok": False, "error": words}).encode()


def read(data: bytes) -> dict[str, object]:
    """Parses an answer.

    Raises:
        AgentError: It carries an error, or it is not an answer.
    """
    try:
        value = json.loads(data)
        if value["ok"] is True:
            return _answered(value)
        found = value["error"]
        words = {name: str(found[name]) for name in ("title", "remedy", "code")}
        kind = _KINDS.get(found["status"], UnreachableError)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise UnreachableError(
            "The program that listens there does not answer as the agent does.",
            remedy="Check systemctl status fleet-agent, and which program has the socket: ss -xlp",
            code="socket-foreign",
        ) from None
    raise kind(words["title"], remedy=words["remedy"], code=words["code"])


def _answered(value: dict[str, object]) -> dict[str, object]:
    """Checks that an answer is complete: credentials, or a token and its URL.

    Raises:
        LookupError, TypeError, ValueError: Something is missing.
    """
    if isinstance(found := value.get("credentials"), dict):
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        texts = [found[name] for name in names]
    else:
        texts = [value[name] for name in ("token", "url")]
    for text in texts:
        if not isinstance(text, str):
            raise TypeError("no text")
        # A lone surrogate can be neither written nor sent.
        text.encode()
    return dict(value)


def too_large() -> UsageError:
    """Returns the error for a packet larger than ``MAX_PACKET``."""
    return _bad(f"The packet has more than {MAX_PACKET} bytes.")


def _bad(title: str) -> UsageError:
    return UsageError(title, remedy="See docs/reference/credentials.md.", code="bad-packet")
