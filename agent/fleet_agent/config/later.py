"""What the file format foresees and this version does not do: refused, never silently ignored.

Whoever implements one of them takes its line away; the loader and the JSON Schema follow.
"""

from collections.abc import Mapping

# (settings class, key) → what to do meanwhile.
KEYS: Mapping[tuple[type, str], str] = {}

# (settings class, key, value) → what to do meanwhile.
VALUES: Mapping[tuple[type, str, str], str] = {}
