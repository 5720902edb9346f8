"""Half of a fleet revoked at once, the other half in service, and a thief with the claim: who is what at the end.

Every device is the agent's own: its walk, its store on disk, its sessions; they share a process. The hook is the one
that ``fleet-cloud up`` makes, run by the sandbox as Lambda runs it. The thief has the claim and a key of his own, and
goes through all serial numbers again and again for as long as the others take to come back.
"""

import argparse
import dataclasses
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.fleet_of_agents import PATIENCE, Device, Service
from benchmarks.provision import FLEET, ROOT, Bench, bench
from benchmarks.thief import Thief
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fleet_agent.config.load import load
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError, NotApprovedError
from support.aws import aws_client

if TYPE_CHECKING:
    pass

DEVICES = 1000
THREADS = 3  # the hook is a process for each that registers at the same time
WITHOUT_KEY = 2  # devices that come back with a new disk, once an operator lets them in

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Result:
    """Who is what at the end; ``odd``: what should not be, in words."""

    back: int
    refused: int
    odd: list[str]


class Trial:
    """One fleet through it all.

    Args:
        bench: Sandbox, hook, claim.
        count: Devices.
    """

    def __init__(self, bench: Bench, count: int) -> None:
        self._bench = bench
        self._iot = aws_client(bench.sandbox, "iot")
        self._odd: list[str] = []
        self.devices = [self._device(f"n{number}") for number in range(count)]

    def _device(self, serial: str) -> Device:
        endpoint, port, ca_file = self._bench.where
        certificate, key = self._bench.claim
        home = self._bench.home / serial
        home.mkdir(exist_ok=True)
        overrides = {
            "endpoint": endpoint, "port": int(port), "ca_file": ca_file, "state_dir": str(home),
            "claim.certificate": certificate, "claim.private_key": key, "provisioning.template": FLEET,
            "provisioning.parameters": {"SerialNumber": serial},
        }  # fmt: skip
        return Device(serial, load(home / "config.yaml", overrides=overrides, required=False))

    def run(self) -> Result:
        """Set up, revoke, steal, come back, count."""
        self._timed("provisioned", lambda: self._each(Device.provision, self.devices))
        if self._odd:
            raise AssertionError(self._odd)
        dead, alive = self.devices[::2], self.devices[1::2]
        before = {device.serial: device.credential for device in self.devices}
        service = Service(alive)
        thief = Thief(alive[0].settings, [device.serial for device in self.devices])
        thief.start()
        for device in dead:
            identifier = before[device.serial].certificate_id
            self._iot.update_certificate(certificateId=identifier, newStatus="REVOKED")
        until = time.monotonic() + PATIENCE
        back = self._timed(
            "back", lambda: self._each(lambda device: device.come_back(until), dead)
        )
        thief.ends.set()
        thief.join(PATIENCE)
        self._odd += service.end()
        self._look_at_keys(dead, before)
        self._look_at_cloud(thief, before)
        self._without_key(dead[:WITHOUT_KEY])
        refused = sum(thief.tried.values())
        print(
            f"the thief: {refused} refusals of {len(thief.tried)} serial numbers, {thief.errors}"
        )
        return Result(len(back), refused, self._odd)

    def _each(self, act: Callable[[Device], T], devices: Sequence[Device]) -> list[T]:
        found = []
        with ThreadPoolExecutor(THREADS) as pool:
            for future in [pool.submit(act, device) for device in devices]:
                try:
                    found.append(future.result())
                except (AgentError, AssertionError) as error:
                    self._odd.append(str(error))
        return found

    @staticmethod
    def _timed(what: str, act: Callable[[], list[T]]) -> list[T]:
        began = time.monotonic()
        found = act()
        print(f"{len(found)} {what}: {time.monotonic() - began:.0f} s", flush=True)
        return found

    # What must hold ---------------------------------------------------------------------------------------------------

    def _look_at_keys(self, dead: Sequence[Device], before: dict[str, Credential]) -> None:
        for device in dead:
            now, old = device.credential, before[device.serial]
            if now.thing_name != old.thing_name:
                self._odd.append(f"{device.serial} is {now.thing_name} now")
            first = Path(old.certificate_file).read_bytes()
            if _public_key(first) != _public_key(Path(now.certificate_file).read_bytes()):
                self._odd.append(f"{device.serial} has another key")

    def _look_at_cloud(self, thief: Thief, before: dict[str, Credential]) -> None:
        """Every thing has its device's certificates and no others."""
        self._odd += [f"{serial} was taken over" for serial in thief.taken]
        for device in self.devices:
            now, old = device.credential, before[device.serial]
            found = self._iot.list_thing_principals(thingName=now.thing_name)["principals"]
            has = {arn.rpartition("/")[2] for arn in found}
            if has & thief.certificates:
                self._odd.append(f"{now.thing_name} has a certificate of the thief's")
            if has != {now.certificate_id, old.certificate_id}:
                self._odd.append(f"{now.thing_name} has {len(has)} certificates")

    def _without_key(self, devices: Sequence[Device]) -> None:
        """A new disk: refused, until an operator says that any key may come."""
        for device in devices:
            thing = str(device.credential.thing_name)
            shutil.rmtree(device.settings.state_dir)
            Path(device.settings.state_dir).mkdir()
            try:
                device.provision()
            except NotApprovedError:
                pass
            else:
                self._odd.append(
                    f"{device.serial} came back with another key, and nobody allowed it"
                )
                continue
            words = ["devices", "allow", thing, "--any-key", "--for", "1h", "--name", FLEET]
            command = [sys.executable, str(ROOT / "scripts/fleet-cloud"), *words]
            subprocess.run(command, check=True, capture_output=True)
            device.provision()


def _public_key(certificate: bytes) -> bytes:
    key = x509.load_pem_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def main() -> int:
    """Run it; 1 when anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="benchmarks/takeover", description=__doc__)
    parser.add_argument(
        "count", nargs="?", type=int, default=DEVICES, metavar="N", help=f"devices ({DEVICES})"
    )
    count = parser.parse_args().count
    logging.disable(logging.WARNING)
    with bench() as found:
        result = Trial(found, count).run()
    for words in result.odd[:20]:
        print(f"odd: {words}")
    print(f"{result.back} of {(count + 1) // 2} back by their own keys; odd: {len(result.odd)}")
    return 1 if result.odd or result.back < (count + 1) // 2 else 0


if __name__ == "__main__":
    sys.exit(main())
