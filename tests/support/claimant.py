"""A device connected under a claim, and the three provisioning requests it can make, as plain MQTT."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.csr import key_pem, make_csr, make_key
from support.fleets import Fleet
from support.mqtt import Device

CREATE_KEYS = "$aws/certificates/create/json"
CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json"
serials = itertools.count(1)


@dataclass(frozen=True)
class Provisioned:
    """An identity on disk, as ``support.mqtt`` takes it."""

    thing_name: str
    certificate_id: str
    certificate: Path
    private_key: Path


@dataclass(frozen=True)
class Claimant:
    """Makes requests one at a time; a serial number of its own for each registration."""

    device: Device
    fleet: Fleet

    @property
    def register_topic(self) -> str:
        return f"$aws/provisioning-templates/{self.fleet.template}/provision/json"

    def ask(self, topic: str, request: object) -> tuple[str, Any]:
        """Publishes a request; gives ``accepted`` or ``rejected`` and the document."""
        assert self.device.publish(topic, request) == 0
        answered, document = self.device.receive()
        suffix = answered.removeprefix(f"{topic}/")
        assert suffix in ("accepted", "rejected"), answered
        return suffix, document

    def create_keys(self) -> tuple[str, Any]:
        return self.ask(CREATE_KEYS, {})

    def create_from_csr(self, csr: object) -> tuple[str, Any]:
        return self.ask(CREATE_FROM_CSR, {"certificateSigningRequest": csr})

    def new_csr(self) -> str:
        return make_csr(make_key())

    def registration(self, token: str, serial: str | None = None) -> dict[str, Any]:
        parameters = {"SerialNumber": serial or f"s{next(serials)}"}
        return {"certificateOwnershipToken": token, "parameters": parameters}

    def register(self, token: str, serial: str | None = None) -> tuple[str, Any]:
        return self.ask(self.register_topic, self.registration(token, serial))

    def provision(self, directory: Path) -> Provisioned:
        """Walks all of it, by CSR; ``directory`` gets the certificate and the key."""
        key = make_key()
        _, created = self.create_from_csr(make_csr(key))
        _, registered = self.register(created["certificateOwnershipToken"])
        files = directory / "device.crt", directory / "device.key"
        files[0].write_text(created["certificatePem"])
        files[1].write_bytes(key_pem(key))
        return Provisioned(registered["thingName"], created["certificateId"], *files)
