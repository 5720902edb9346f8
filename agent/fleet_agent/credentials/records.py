"""A generation's JSON files as values, and back: each ``load_…`` reads what its ``dump_…`` has written.

Every ``load_…`` refuses what is not as it was written, by ``KeyError``, ``TypeError``, ``ValueError`` or
``OverflowError``; the store names the file.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from fleet_agent.clock import Uptime
from fleet_agent.credentials.model import Attempt, Home, Issued, KeyName, Registration, Secret


def dump_attempt(attempt: Attempt) -> dict[str, object]:
    """The attempt as ``attempt.json`` has it."""
    return dataclasses.asdict(attempt)


def load_attempt(value: Mapping[str, Any]) -> Attempt:
    """The attempt that ``attempt.json`` has."""
    return Attempt(
        endpoint=_string(value, "endpoint"),
        template=_string(value, "template"),
        method=_string(value, "method"),
        parameters_hash=_string(value, "parameters_hash"),
        csr_hash=None if value["csr_hash"] is None else _string(value, "csr_hash"),
        tries=int(_number(value, "tries")),
        not_before=_number(value, "not_before"),
        opened=_number(value, "opened"),
        # Older ones have none of these.
        origin="adopted" if value.get("origin") == "adopted" else "claim",
        certificate_id=None
        if value.get("certificate_id") is None
        else _string(value, "certificate_id"),
        key_of=None if value.get("key_of") is None else int(_number(value, "key_of")),
        home=None if value.get("home") is None else _load_home(value["home"]),
    )


def _load_home(value: Mapping[str, Any]) -> Home:
    return Home(
        name=_string(value, "name"),
        port=int(_number(value, "port")),
        ca_file=None if value["ca_file"] is None else _string(value, "ca_file"),
    )


def dump_issued(issued: Issued) -> dict[str, object]:
    """The certificate as ``issued.json`` has it: the one place where an ownership token is written."""
    return {
        "certificate_id": issued.certificate_id,
        "ownership_token": issued.ownership_token.reveal() if issued.ownership_token else None,
        "received": issued.received,
        **_dump_uptime(issued.uptime),
    }


def load_issued(value: Mapping[str, Any]) -> Issued:
    """The certificate that ``issued.json`` has."""
    ownership_token = value.get("ownership_token")
    return Issued(
        certificate_id=_string(value, "certificate_id"),
        ownership_token=Secret(_string(value, "ownership_token"))
        if ownership_token is not None
        else None,
        received=_number(value, "received"),
        uptime=load_uptime(value),
    )


def dump_registration(registration: Registration) -> dict[str, object]:
    """The registration as ``registration.json`` has it."""
    return dataclasses.asdict(registration)


def load_registration(value: Mapping[str, Any]) -> Registration:
    """The registration that ``registration.json`` has."""
    configuration = value["device_configuration"]
    if not isinstance(configuration, dict):
        raise TypeError("device_configuration is not an object")
    return Registration(
        thing_name=None if value["thing_name"] is None else _string(value, "thing_name"),
        device_configuration={str(key): str(item) for key, item in configuration.items()},
    )


def dump_key_name(name: KeyName) -> dict[str, object]:
    """The key's name as ``key.json`` has it."""
    return dataclasses.asdict(name)


def load_key_name(value: Mapping[str, Any]) -> KeyName:
    """The key's name that ``key.json`` has; older ones name a module and a PIN file, too, which are not read."""
    return KeyName(
        token=_string(value, "token"),
        label=_string(value, "label"),
        is_ours=value["is_ours"] is True,
    )


def dump_proven(when: float, how: str, uptime: Uptime | None = None) -> dict[str, object]:
    """The proof as ``proven`` has it; ``when`` in Unix seconds, ``how`` in words for people."""
    return {"proven": when, "how": how, **_dump_uptime(uptime)}


def load_proven(value: Mapping[str, Any]) -> float:
    """When it was proven, by ``proven``, in Unix seconds."""
    return _number(value, "proven")


def load_uptime(value: Mapping[str, Any]) -> Uptime | None:
    """The uptime recorded with a time; None where an older version wrote it."""
    if "boot" not in value:
        return None
    return Uptime(boot=_string(value, "boot"), monotonic=_number(value, "monotonic"))


def _dump_uptime(uptime: Uptime | None) -> dict[str, object]:
    return {} if uptime is None else dataclasses.asdict(uptime)


def _string(value: Mapping[str, Any], key: str) -> str:
    if not isinstance(value[key], str):
        raise TypeError(f"{key} is not text")
    return str(value[key])


def _number(value: Mapping[str, Any], key: str) -> float:
    if not isinstance(value[key], int | float) or isinstance(value[key], bool):
        raise TypeError(f"{key} is not a number")
    if not math.isfinite(found := float(value[key])):
        raise ValueError(f"{key} is not a finite number")
    return found
