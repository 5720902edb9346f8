"""Settings as a file that people read: comments first, then only what is said."""

from collections.abc import Iterable, Mapping
from typing import Any

_SCHEMA = "# yaml-language-server: $schema=/usr/share/fleet-agent/config.schema.json\n"


def render(settings: Mapping[str, Any], remarks: Iterable[str] = ()) -> str:
    """Return the text of a configuration file.

    Args:
        settings: Keys and values as the file has them.
        remarks: Lines for the comment at its beginning.
    """
    import yaml

    comment = "".join(f"# {line}\n" for remark in remarks for line in remark.splitlines())
    body = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=99)
    return f"{_SCHEMA}{comment}{body if settings else ''}"
