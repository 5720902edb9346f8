"""What the agent's user may ask for, read from one line. Pure."""

import json
import re
from dataclasses import dataclass

LONGEST_LINE = 64 * 1024
MOST_ARGUMENTS = 64
LONGEST_ORDER = 256
LONGEST_TIMEOUT = 86_400
# No dot: what belongs to a program lies beside it as NAME.profile.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class RefusedError(Exception):
    """Nothing is started; says why."""


@dataclass(frozen=True)
class Start:
    """A program to be started for an order: its name in helpers.d, its arguments, its seconds."""

    name: str
    arguments: tuple[str, ...]
    order: str
    seconds: int


@dataclass(frozen=True)
class Result:
    """What became of an order."""

    order: str


@dataclass(frozen=True)
class Cancel:
    """An order that is not wanted any more."""

    order: str


def read(line: bytes) -> Start | Result | Cancel:
    """Reads a request.

    Raises:
        RefusedError: it is no valid request.
    """
    if len(line) > LONGEST_LINE:
        raise RefusedError(f"the request is longer than {LONGEST_LINE} bytes")
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RefusedError("the request is not a line of JSON") from error
    if not isinstance(asked, dict):
        raise RefusedError("the request is not an object")
    if set(asked) == {"result"}:
        return Result(_order(asked["result"]))
    if set(asked) == {"cancel"}:
        return Cancel(_order(asked["cancel"]))
    if set(asked) != {"name", "arguments", "order", "timeout"}:
        raise RefusedError(
            "a request has name, arguments, order and timeout; or only result, or only cancel"
        )
    name, timeout = asked["name"], asked["timeout"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RefusedError(f"name does not match {_NAME.pattern}")
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not is_number or not 1 <= timeout <= LONGEST_TIMEOUT:
        raise RefusedError(f"timeout is not a number from 1 to {LONGEST_TIMEOUT}")
    return Start(name, _arguments(asked["arguments"]), _order(asked["order"]), int(timeout))


def _arguments(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) > MOST_ARGUMENTS:
        raise RefusedError(f"arguments is not a list of at most {MOST_ARGUMENTS}")
    for each in given:
        if not isinstance(each, str) or "\0" in each or not _is_unicode(each):
            raise RefusedError("an argument is not text that a program can take")
    return tuple(given)


def _order(given: object) -> str:
    if (
        not isinstance(given, str)
        or not 1 <= len(given) <= LONGEST_ORDER
        or not _is_unicode(given)
    ):
        raise RefusedError(f"an order is not text of 1 to {LONGEST_ORDER} characters")
    return given


def _is_unicode(text: str) -> bool:
    # JSON can name halves of characters.
    return not any("\ud800" <= character <= "\udfff" for character in text)
