"""What came from the network, fit for a log."""

import json

LOGGED_BYTES = 1024  # of a message that came down

# Beyond JSON's own escapes: what turns the direction of a terminal's text or breaks its lines.
_INVISIBLE = {
    code: f"\\u{code:04x}"
    for first, last in ((0x7F, 0x9F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x2069))
    for code in range(first, last + 1)
} | {0xFEFF: "\\ufeff"}


def printable(payload: bytes) -> str:
    """A payload: one line, no control characters, bounded."""
    text = payload[:LOGGED_BYTES].decode(errors="replace")
    more = f" … ({len(payload)} bytes)" if len(payload) > LOGGED_BYTES else ""
    line = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return line.translate(_INVISIBLE) + more
