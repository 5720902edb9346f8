"""AWS credentials in three formats: AWS IoT's answer, `credential_process`, the container endpoint.

The same four fields are named differently in each. Pure.
"""

import datetime as dt
import json

from fleet_agent import foreign
from fleet_agent.credentials.model import Secret
from fleet_agent.record import record

_LONGEST = 32 * 1024  # characters of a field; session tokens have a few thousand
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE_WORDS = 6  # Thu, 26 Nov 2026 17:35:26 GMT


class UnreadableError(Exception):
    """An answer does not have the documented format; the text names the fault and never quotes the answer."""


@record
class AwsCredentials:
    """One set of credentials; ``expires`` is Unix seconds by AWS's clock."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires: float

    @property
    def expiration(self) -> str:
        """The time of expiry, as all three formats write it."""
        moment = dt.datetime.fromtimestamp(self.expires, dt.UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    def for_process(self) -> dict[str, object]:
        """Formats them as `credential_process` prints them."""
        return {
            "Version": 1,
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key.reveal(),
            "SessionToken": self.session_token.reveal(),
            "Expiration": self.expiration,
        }

    def for_container(self) -> dict[str, object]:
        """Formats them as the container endpoint answers them."""
        found = self.for_process()
        del found["Version"]
        found["Token"] = found.pop("SessionToken")
        return found


def read(body: bytes) -> AwsCredentials:
    """Reads AWS IoT's answer.

    Raises:
        UnreadableError: It has another format.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError("it is not JSON") from None
    found = value.get("credentials") if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise UnreadableError("it has no object `credentials`")
    return AwsCredentials(
        access_key_id=_text(found, "accessKeyId"),
        secret_access_key=Secret(_text(found, "secretAccessKey")),
        session_token=Secret(_text(found, "sessionToken")),
        expires=_moment(_text(found, "expiration")),
    )


def message(body: bytes) -> str:
    """Returns the message of a refusal; empty when it has none."""
    found = (foreign.read_object(body) or {}).get("message")
    return found if isinstance(found, str) else ""


def date(header: str) -> float | None:
    """Returns a `Date` header as Unix seconds; None when it is not a date."""
    words = header.replace(",", " ").split()
    if len(words) != _DATE_WORDS or words[2] not in _MONTHS:
        return None
    try:
        hour, minute, second = map(int, words[4].split(":"))
        month = _MONTHS.index(words[2]) + 1
        found = dt.datetime(
            int(words[3]), month, int(words[1]), hour, minute, second, tzinfo=dt.UTC
        )
    except (ValueError, OverflowError):
        return None
    return found.timestamp()


def _text(found: dict[str, object], name: str) -> str:
    value = found.get(name)
    # The SDK that uses it puts it into a header.
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise UnreadableError(f"its `{name}` is missing or not text")
    if len(value) > _LONGEST:
        raise UnreadableError(f"its `{name}` has more than {_LONGEST} characters")
    return value


def _moment(text: str) -> float:
    try:
        found = dt.datetime.fromisoformat(text)
        found = found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)
    # The last hours of the year 9999 in another zone overflow in UTC.
    except (ValueError, OverflowError):
        raise UnreadableError("its `expiration` is not a date") from None
    return found.timestamp()
