"""What conditions of job documents may ask for: facts of this device that need no program."""

import os
from collections.abc import Mapping
from pathlib import Path

OS_RELEASE = Path("/etc/os-release")
_LIMIT = 64 * 1024  # bytes


def facts(thing: str, configuration: Mapping[str, str]) -> dict[str, str]:
    """Names and values; the device configuration's names give way to the others."""
    return {
        **configuration,
        "operatingSystem": _system(),
        "architecture": os.uname().machine,
        "thingName": thing,
    }


def _system() -> str:
    try:
        text = OS_RELEASE.read_bytes()[:_LIMIT].decode(errors="replace")
    except OSError:
        return "linux"
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name == "ID":
            return value.strip("\"'") or "linux"
    return "linux"
