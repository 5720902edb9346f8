"""What a reader returns, and the error when it has no value."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
    """A text found on the device.

    Attributes:
        text: The value, without surrounding white space.
        source: Where it came from, such as ``device-tree:serial-number``.
        warnings: What is questionable about it, a sentence each.
    """

    text: str
    source: str
    warnings: tuple[str, ...] = ()


class NothingFoundError(Exception):
    """A source has no value here; the text names the source, the reason, and what to do if known."""
