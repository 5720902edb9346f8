"""Settings as a file that people read: comments first, then only what was set."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fleet_agent.printable import line as printable

_SCHEMA = "# yaml-language-server: $schema=/usr/share/fleet-agent/config.schema.json\n"


def render(settings: Mapping[str, Any], remarks: Iterable[str] = ()) -> str:
    """Returns the text of a configuration file.

    Args:
        settings: Keys and values as the file has them.
        remarks: Lines for the comment at its beginning.
    """
    comment = "".join(f"# {printable(remark)}\n" for remark in remarks)
    return f"{_SCHEMA}{comment}{body(settings) if settings else ''}"


def body(settings: Mapping[str, Any], can_show: Callable[[str], bool] = lambda _text: True) -> str:
    """Returns keys and values as YAML, with escapes for characters that are invisible or that a console cannot show."""
    import yaml

    def written(*, is_plain: bool) -> str:
        values = dict(settings)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=is_plain, width=99)

    text = written(is_plain=True)
    is_fit = text.replace("\n", "").isprintable() and can_show(text)
    return text if is_fit else written(is_plain=False)
