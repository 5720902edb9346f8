"""What ``settings`` declares about a value beyond its Python type.

It stands in ``typing.Annotated``. One description, three readers: the loader, the JSON Schema and
the reference; a limit changed there changes all three together. Compared by identity and not
frozen: every command imports these at its start, and a frozen dataclass takes four times as long
to make.
"""

import dataclasses
from collections.abc import Callable

_light = dataclasses.dataclass(eq=False, repr=False)


@_light
class Doc:
    """What a key means, in a sentence or two, and an example as the file would have it."""

    text: str
    example: str


@_light
class Range:
    """A whole number, both ends allowed."""

    low: int
    high: int


@_light
class Duration:
    """Seconds in Python, a string with units in the file; both ends allowed, in seconds.

    ``share`` allows a ``units.Share``, too.
    """

    low: float
    high: float
    share: bool = False


@_light
class Size:
    """Bytes in Python, a string with units in the file; both ends allowed, in bytes."""

    low: int
    high: int


@_light
class Text:
    """A string with rules.

    ``check`` raises :class:`WrongValueError`. ``pattern`` and ``length`` are the part of those
    rules that JSON Schema can express: everything ``check`` accepts fits them.
    """

    check: Callable[[str], None]
    pattern: str = ""
    length: int = 0


@_light
class FilePath:
    """A path; relative ones start at the folder of the configuration.

    ``credential`` allows ``credential:NAME``, a file of ``$CREDENTIALS_DIRECTORY``; ``token`` allows ``pkcs11:…``, a
    key in a hardware token.
    """

    credential: bool = False
    token: bool = False


@_light
class Items:
    """How many entries a list may have; ``first`` are rules of the first entry alone."""

    low: int
    high: int
    first: Text | None = None


@_light
class Keys:
    """The rules for the keys of a mapping whose keys the user chooses."""

    text: Text


class WrongValueError(ValueError):
    """A value breaks a rule.

    Args:
        problem: What is wrong, to be read after the key: "is empty".
        suggestion: What to write instead, when that is known.
    """

    def __init__(self, problem: str, suggestion: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.suggestion = suggestion
