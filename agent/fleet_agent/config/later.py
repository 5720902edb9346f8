"""What the file format foresees and this version does not do: refused, never silently ignored.

Whoever implements one of them takes its line away; the loader and the JSON Schema follow.
"""

from collections.abc import Mapping

from fleet_agent.config.settings import Claim, Key

# (settings class, key) → what to do meanwhile.
KEYS: Mapping[tuple[type, str], str] = {}

# (settings class, key, value) → what to do meanwhile.
VALUES: Mapping[tuple[type, str, str], str] = {
    (
        Claim,
        "after_success",
        "delete",
    ): "write after_success: keep, and delete the claim by other means",
    (Key, "store", "pkcs11"): "write store: file",
}

# Beginnings of values that are taken for paths otherwise.
PREFIXES: Mapping[str, str] = {
    "pkcs11:": "name a PEM file, or credential:NAME",
}
