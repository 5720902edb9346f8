"""Decides whether a device may register: AWS IoT calls this on every RegisterThing, and refuses unless it says yes.

Standard library only. Beside it lies ``rules.json``: ``{"parameter", "pattern", "allow"}``. What it decides goes into
its CloudWatch log, one JSON line a device.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path


@cache
def rules() -> Mapping[str, object]:
    """Returns what ``rules.json`` says; read once for as long as Lambda keeps this process."""
    found: Mapping[str, object] = json.loads(Path(__file__).with_name("rules.json").read_text())
    return found


def permits(rule: Mapping[str, object], serial: object) -> bool:
    """Returns whether a serial number is on the list, or wholly matches the pattern."""
    if not isinstance(serial, str):
        return False
    allow, pattern = rule.get("allow"), rule.get("pattern")
    return (isinstance(allow, list) and serial in allow) or (
        isinstance(pattern, str) and re.fullmatch(pattern, serial) is not None
    )


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Answers AWS IoT."""
    parameters = event.get("parameters")
    name = str(rules()["parameter"])
    serial = parameters.get(name) if isinstance(parameters, Mapping) else None
    is_allowed = permits(rules(), serial)
    # The certificate's text, the only other thing in the event, is not for a log.
    print(json.dumps({name: serial, "client": event.get("clientId"), "allowed": is_allowed}))
    return {"allowProvisioning": is_allowed, "parameterOverrides": {}}
