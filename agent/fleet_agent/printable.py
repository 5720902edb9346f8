"""The one way in which foreign text reaches a log, a terminal or the status: on one line, harmless and bounded."""

import json

SHOWN = 1024  # bytes or characters, at most

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
