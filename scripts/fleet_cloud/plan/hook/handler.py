"""Decides whether a device may register: AWS IoT calls this on every RegisterThing, and refuses unless it says yes.

A no is a no: the device gets 403, and waits. An error, throttling or a slow registry is raised: the device comes again
later. Both stand in the function's log, one JSON line a device.
"""

import dataclasses
import json
import os
import re
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fleet_cloud.plan.hook import LIST, SETTINGS, decision, naming, registry
from fleet_cloud.plan.hook.certificate import key_hash
from fleet_cloud.plan.hook.decision import Making, Request, Verdict
from fleet_cloud.plan.hook.registration import PARAMETER
from fleet_cloud.plan.hook.registry import Registry

Event = Mapping[str, object]
Rules = Mapping[str, object]

_CERTIFICATE_ID = "AWS::IoT::Certificate::Id"


@cache
def allowed_serials() -> frozenset[str]:
    """Returns the list that came with the function; read once for as long as Lambda keeps this process."""
    return frozenset(json.loads(Path(__file__).with_name(LIST).read_text()))


def handler(event: Event, _context: object) -> dict[str, object]:
    """Answers AWS IoT."""
    began = time.monotonic()
    rules: Rules = json.loads(os.environ[SETTINGS])
    # No parameter but the serial number, and of the certificate its id alone: the rest is not for a log.
    said: dict[str, object] = {
        "serial": _parameters(event).get(str(rules["parameter"])),
        "client": event.get("clientId"),
        "session": event.get("claimCertificateId"),
        "certificate": event.get("certificateId"),
    }
    try:
        thing, verdict = _decide(event, rules, began)
    except Exception as error:
        print(json.dumps({**said, "error": registry.reason(error)}))
        raise
    print(json.dumps({**said, "thing": thing, "allowed": verdict.allowed, "why": verdict.why}))
    overrides = {}
    if verdict.allowed and rules["remembers"]:
        # Written by AWS IoT itself, as it registers: from then on the thing has had a certificate.
        given = dataclasses.replace(verdict.registration, given=True)
        overrides[PARAMETER] = str(given)
    return {"allowProvisioning": verdict.allowed, "parameterOverrides": overrides}


def permits(pattern: object, serials: frozenset[str] | None, serial: object) -> bool:
    """Returns whether a serial number is on the list, or wholly matches the pattern; without both all of them are."""
    if serials is None and pattern is None:
        return True
    if not isinstance(serial, str):
        return False
    return (serials is not None and serial in serials) or (
        isinstance(pattern, str) and re.fullmatch(pattern, serial) is not None
    )


def _decide(event: Event, rules: Rules, began: float) -> tuple[str | None, Verdict]:
    known = {**_mapping(rules["defaults"]), **_parameters(event)}
    serials = allowed_serials() if rules["listed"] else None
    if not permits(rules["pattern"], serials, known.get(str(rules["parameter"]))):
        return None, Verdict(allowed=False, why="its serial number is not permitted")
    certificate = str(event["certificateId"])
    known[_CERTIFICATE_ID] = certificate
    try:
        name = naming.resolved_text(rules["thing"], known)
        making = Making(
            attributes=_texts(naming.resolve(rules["attributes"], known)),
            where=_texts(naming.resolve(rules["where"], known)),
            groups=[naming.resolved_text(group, known) for group in _list(rules["groups"])],
        )
    except naming.UnresolvedError as error:
        return None, Verdict(allowed=False, why=f"the template cannot be filled in: {error}")
    # The registry would answer with an error, and the device would come again for ever.
    if why := naming.fault([name, *making.where.values(), *making.groups], making.attributes):
        return None, Verdict(allowed=False, why=why)
    request = Request(
        thing=name,
        certificate=certificate,
        key=key_hash(str(event["certificatePem"])),
        session=str(event["claimCertificateId"]),
    )
    asked = Registry(registry.client(), _certificates(str(event["templateArn"])), began)
    verdict = decision.decide(request, asked, making, time.time(), only=bool(rules["only"]))
    return name, verdict


def _certificates(template_arn: str) -> str:
    """Returns the ARN of the account's certificates, up to the id."""
    return ":".join([*template_arn.split(":")[:5], "cert/"])


def _parameters(event: Event) -> Mapping[str, object]:
    return _mapping(event.get("parameters"))


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}


def _texts(value: object) -> dict[str, str]:
    return {name: text for name, text in _mapping(value).items() if isinstance(text, str) and text}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


if os.environ.get("AWS_LAMBDA_FUNCTION_NAME"):
    # While Lambda starts the process, which is not counted as the function's time and has a whole processor.
    registry.client()
