"""Certificates and keys that a device has without a claim: from CreateKeysAndCertificate, for a thing of a fleet."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from support.fleets import Fleet


@dataclass(frozen=True)
class Pair:
    """A device's own certificate and key, as a factory or another agent leaves them."""

    thing_name: str
    certificate_id: str
    certificate: Path
    private_key: Path


def make_pair_of_thing(fleet: Fleet, folder: Path, serial: str) -> Pair:
    """Makes a thing with a certificate of its own, as `aws iot create-keys-and-certificate` and its console do."""
    iot, thing = fleet.iot, fleet.thing_name(serial)
    iot.create_thing(thingName=thing)
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=fleet.device_policy, target=made["certificateArn"])
    iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "device.pem.crt", folder / "device.pem.key"
    certificate.write_text(made["certificatePem"])
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(made["keyPair"]["PrivateKey"])
    return Pair(thing, made["certificateId"], certificate, key)


def origin(folder: Path) -> str:
    """What ``attempt.json`` of a generation says of how it began."""
    found: str = json.loads((folder / "attempt.json").read_text())["origin"]
    return found
