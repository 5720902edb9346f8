"""``Settings`` → what a configuration file would say: mappings, lists, strings, with units again."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from fleet_agent.config.annotations import alternatives, annotation, hints, unwrap
from fleet_agent.config.settings import Settings
from fleet_agent.config.shape import Duration, Size
from fleet_agent.config.units import format_duration, format_size


def effective(settings: Settings) -> dict[str, Any]:
    """Returns settings as a file with every key; reading it gives the same settings.

    There is no secret in it: keys and certificates are named, not held.
    """
    written: dict[str, Any] = plain(Settings, settings)
    return written


def plain(kind: Any, value: Any) -> Any:  # noqa: ANN401 - any type of settings, any YAML value
    """Returns one value, of one annotated type, as the file would have it."""
    kind, meta = unwrap(kind)
    if annotation(meta, Duration) and value is not None:
        return format_duration(value)
    if annotation(meta, Size):
        return format_size(value)
    if dataclasses.is_dataclass(value):
        cls = type(value)
        return {name: plain(kind, getattr(value, name)) for name, kind in hints(cls).items()}
    if isinstance(value, tuple):
        members, _ = alternatives(kind)
        inner = typing.get_args(members[0])[0]
        return [plain(inner, item) for item in value]
    if isinstance(value, Mapping):
        inner = typing.get_args(kind)[1]
        return {name: plain(inner, item) for name, item in value.items()}
    return value
