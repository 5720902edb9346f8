"""A second account that a device may be moved to: its things have the names that they have in the first one.

there = make_destination(other_sandbox, tmp_path / "there", fleet)
config = agent.configuration(path, move={"allowed": {"there": destination(there)}})
"""

import json
from pathlib import Path

from iot_sandbox.launch import Sandbox
from support.fleets import Fleet, make_fleet, template_body


def make_destination(
    sandbox: Sandbox, folder: Path, of: Fleet, *, device_without: tuple[str, ...] = ()
) -> Fleet:
    """Makes a fleet there for the things of another account's fleet."""
    fleet = make_fleet(sandbox, folder, device_without=device_without)
    body = template_body(of.name, fleet.device_policy)
    fleet.iot.create_provisioning_template_version(
        templateName=fleet.template, templateBody=json.dumps(body), setAsDefault=True
    )
    return fleet


def destination(fleet: Fleet, **changes: object) -> dict[str, object]:
    """What a configuration says of it."""
    sandbox, claim = fleet.sandbox, fleet.claim
    return {
        "endpoint": sandbox.endpoint,
        "port": sandbox.mqtt_port,
        "ca_file": str(sandbox.ca_file),
        "template": fleet.template,
        "claim": {
            "certificate": str(claim.certificate),
            "private_key": str(claim.private_key),
        },
        **changes,
    }
