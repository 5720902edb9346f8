"""The one way in which foreign text reaches a log, a terminal or the status: on one line, harmless and bounded.

``printable`` is for a text that is foreign as a whole, at the place where it is put among our words; ``line`` for the
words themselves, at the edges where they leave the program.
"""

import json

SHOWN = 1024  # bytes or characters, at most
_LAST_OF_FOUR_DIGITS = 0xFFFF

# Beyond JSON's own escapes: what turns the direction of a terminal's text or breaks its lines.
_INVISIBLE = {
    code: f"\\u{code:04x}"
    for first, last in ((0x7F, 0x9F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x2069))
    for code in range(first, last + 1)
} | {0xFEFF: "\\ufeff"}


def printable(foreign: bytes | str, most: int = SHOWN) -> str:
    """A payload or a text that somebody else chose: one line, no control characters, at most ``most`` long."""
    part = foreign[:most]
    text = part.decode(errors="replace") if isinstance(part, bytes) else part
    more = f" … ({len(foreign)} bytes)" if len(foreign) > most else ""
    line = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    # Half a surrogate cannot be written anywhere.
    return line.translate(_INVISIBLE).encode(errors="backslashreplace").decode() + more


def line(words: str) -> str:
    """Our own words with others' among them, as one line: what is not printable is spelled, what was spelled stays."""
    if words.isprintable():
        return words
    return "".join(
        character if character.isprintable() else _spelled(ord(character)) for character in words
    )


def _spelled(code: int) -> str:
    return f"\\u{code:04x}" if code <= _LAST_OF_FOUR_DIGITS else f"\\U{code:08x}"
