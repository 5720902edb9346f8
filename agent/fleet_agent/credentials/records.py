"""A generation's JSON files, as read, made into values; what is not as the store wrote it is refused.

Every function raises ``KeyError``, ``TypeError``, ``ValueError`` or ``OverflowError`` then; the store says which file.
"""

from collections.abc import Mapping
from typing import Any

from fleet_agent.credentials.model import (
    Attempt,
    Issued,
    KeyName,
    Registration,
    Secret,
)


def attempt(value: Mapping[str, Any]) -> Attempt:
    """``attempt.json``."""
    return Attempt(
        endpoint=_string(value, "endpoint"),
        template=_string(value, "template"),
        method=_string(value, "method"),
        parameters_hash=_string(value, "parameters_hash"),
        csr_hash=None if value["csr_hash"] is None else _string(value, "csr_hash"),
        tries=int(number(value, "tries")),
        not_before=number(value, "not_before"),
        opened=number(value, "opened"),
    )


def issued(value: Mapping[str, Any]) -> Issued:
    """``issued.json``."""
    token = value.get("ownership_token")
    return Issued(
        certificate_id=_string(value, "certificate_id"),
        token=Secret(_string(value, "ownership_token")) if token is not None else None,
        received=number(value, "received"),
    )


def registration(value: Mapping[str, Any]) -> Registration:
    """``registration.json``."""
    configuration = value["device_configuration"]
    if not isinstance(configuration, dict):
        raise TypeError("device_configuration is no object")
    return Registration(
        thing_name=None if value["thing_name"] is None else _string(value, "thing_name"),
        device_configuration={str(key): str(item) for key, item in configuration.items()},
    )


def key_name(value: Mapping[str, Any]) -> KeyName:
    """``key.json``; older ones name a module and a PIN file, too, which nobody looks at."""
    return KeyName(
        token=_string(value, "token"),
        label=_string(value, "label"),
        is_ours=value["is_ours"] is True,
    )


def _string(value: Mapping[str, Any], key: str) -> str:
    if not isinstance(value[key], str):
        raise TypeError(f"{key} is no text")
    return str(value[key])


def number(value: Mapping[str, Any], key: str) -> float:
    """A number, where a number has to stand."""
    if not isinstance(value[key], int | float) or isinstance(value[key], bool):
        raise TypeError(f"{key} is no number")
    return float(value[key])
