"""Half of a fleet revoked at once, the other half in service, and a thief with the claim: who is what at the end.

Every device is the agent's own: its walk, its store on disk, its sessions; they share a process. The hook is the one
that ``fleet-cloud up`` makes, run by the sandbox as Lambda runs it. The thief has the claim and a key of his own, and
goes through all serial numbers again and again for as long as the others take to come back.
"""

import argparse
import contextlib
import dataclasses
import logging
import multiprocessing
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks.provision import FLEET, ROOT, Bench, set_up
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fleet_agent.clock import SystemClock
from fleet_agent.config.load import load
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Credential, KeyPair, Secret
from fleet_agent.errors import AgentError, NotApprovedError
from fleet_agent.identity import own_session, recover, recovery_state
from fleet_agent.identity.configured import open_store, read_claim
from fleet_agent.identity.walk import Request, walk
from fleet_agent.mailbox import Mailbox
from fleet_agent.programs.worker import Worker
from fleet_agent.provisioning.aws import ProvisioningClient
from fleet_agent.provisioning.model import Plan, RejectedError
from fleet_agent.provisioning.report import Milestone
from fleet_agent.session.events import Connected, ConnectFailed, Disconnected
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import route
from iot_sandbox.launch import launch
from support.aws import aws_client
from support.csr import make_csr, make_key

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

DEVICES = 1000
THREADS = 3  # the hook is a process for each that registers at the same time
LIMIT = 60.0  # seconds for a connection to stand, or to be refused
PATIENCE = 1800.0  # seconds for all to come back
WITHOUT_KEY = 2  # devices that come back with a new disk, once an operator lets them in

T = TypeVar("T")


class Quiet:
    """Nobody reads a thousand walks."""

    def step(self, name: Milestone, detail: str = "") -> None:
        """A step is done."""

    def waiting(self, why: str, seconds: float, problem: object = None) -> None:
        """Something is tried again."""

    def problem(self, problem: AgentError) -> None:
        """Something should be looked at."""


class Here(Worker):
    """Calls in this process: the fleet is only set up with it."""

    def ask(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Nothing is imported ahead."""

    def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:  # noqa: ANN401
        """Call it."""
        return function(*args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Device:
    """One device's configuration; all else is on its disk."""

    serial: str
    settings: Settings

    @property
    def credential(self) -> Credential:
        """What it has in use."""
        found = open_store(self.settings).current()
        if found is None:
            raise AssertionError(f"{self.serial} has no identity")
        return found

    @property
    def pair(self) -> KeyPair:
        """Its certificate and key."""
        return open_store(self.settings).key_pair(self.credential.generation)

    def provision(self) -> None:
        """Get an identity by the claim; where the hook does not answer on a loaded machine, again.

        Raises:
            AgentError: It was refused, for instance.
        """
        store = open_store(self.settings)
        until = time.monotonic() + PATIENCE
        while True:
            mailbox = _mailbox(PATIENCE)
            try:
                done = walk(self.settings, Request(), Quiet(), store, mailbox, worker=Here())
            except NotApprovedError:
                raise
            except AgentError:
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)
            else:
                if done.session is not None:
                    done.session.close()
                return

    def open(self, mailbox: Mailbox) -> Session:
        """Open its session, as the daemon does."""
        session = own_session.open_session(self.settings, self.credential, self.pair, mailbox)
        session.start()
        return session

    def come_back(self, until: float) -> float:
        """From the first refusal on; give the seconds it took."""
        began = time.monotonic()
        clock = SystemClock()
        mailbox = _mailbox()
        session = self.open(mailbox)
        heard = _hear(
            mailbox,
            lambda event: (
                isinstance(event, Connected | ConnectFailed) and event.session is session
            ),
        )
        session.close()
        if not isinstance(heard, ConnectFailed):
            raise AssertionError(f"{self.serial} is not refused")  # noqa: TRY004 - an outcome
        known = recovery_state.RecoveryState()
        while time.monotonic() < until:
            store, before = open_store(self.settings), self.credential
            done = recover.attempt(self.settings, store, before, mailbox, Quiet(), clock)
            if not isinstance(done, AgentError):
                if done.session is not None:
                    done.session.close()
                return time.monotonic() - began
            known = recovery_state.read(Path(self.settings.state_dir))
            time.sleep(min(known.wait, 5.0))
        raise AssertionError(f"{self.serial} is not back: {known.why}")


_of_thread = threading.local()


def _mailbox(limit: float | None = None) -> Mailbox:
    """This thread's, which has a descriptor; with a limit of so many seconds."""
    found: Mailbox | None = getattr(_of_thread, "mailbox", None)
    if found is None:
        found = _of_thread.mailbox = Mailbox(SystemClock())
    found.limit(None if limit is None else time.monotonic() + limit)
    return found


def _hear(mailbox: Mailbox, wanted: Callable[[object], bool]) -> object:
    until = time.monotonic() + LIMIT
    while (event := mailbox.wait(until)) is not None:
        if wanted(event):
            return event
    return None


class Service:
    """Devices in service, in a process of their own: their sessions take many descriptors.

    Args:
        devices: All of them are connected once this is made.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(devices, theirs), daemon=True)
        self._process.start()
        if not self._pipe.recv():
            raise AssertionError("not all are in service")

    def end(self) -> list[str]:
        """End them; who was disturbed meanwhile, in words."""
        self._pipe.send(None)
        found: list[str] = self._pipe.recv()
        self._process.join()
        return found


def _serve(devices: Sequence[Device], pipe: "Connection") -> None:
    logging.disable(logging.WARNING)
    mailbox = Mailbox(SystemClock())
    sessions = [device.open(mailbox) for device in devices]
    events = [_hear(mailbox, lambda event: isinstance(event, Connected)) for _ in sessions]
    pipe.send(None not in events)
    pipe.recv()
    found = []
    while (event := mailbox.wait(0.0)) is not None:
        if isinstance(event, Disconnected):
            found.append(f"a session in service ended: {event.error}")
    for session in sessions:
        session.close()
    pipe.send(found)


class Thief(threading.Thread):
    """Has the claim, and tries every serial number with keys of his own.

    Args:
        settings: Of any device: they name the claim.
        serials: What he knows.
    """

    def __init__(self, settings: Settings, serials: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._serials = [*serials]
        self._key = make_key()
        self.ends = threading.Event()
        self.tried: dict[str, int] = {}
        self.certificates: set[str] = set()
        self.taken: list[str] = []
        self.errors: dict[str, int] = {}

    def run(self) -> None:
        """Go through all of them, in another order each time, until told to end and once at least."""
        while not self.ends.is_set() or len(self.tried) < len(self._serials):
            random.shuffle(self._serials)
            for serial in self._serials:
                if self.ends.is_set() and serial in self.tried:
                    continue
                try:
                    self._try(serial)
                except AgentError as error:
                    self.errors[error.code] = self.errors.get(error.code, 0) + 1

    def _try(self, serial: str) -> None:
        plan = Plan(
            endpoint=self._settings.endpoint,
            template=FLEET,
            method="csr",
            key_type="ec-p256",
            parameters={},
        )
        pair = read_claim(_needed(self._settings.claim), self._settings)
        clock = SystemClock()
        api = ProvisioningClient(route(self._settings), pair, plan, _mailbox(), clock)
        api.start()
        with contextlib.closing(api):
            api.wait_open()
            made = api.create_certificate(make_csr(self._key))
            self.certificates.add(made.certificate_id)
            try:
                api.register_thing(Secret(made.ownership_token.reveal()), {"SerialNumber": serial})
            except RejectedError as error:
                if error.status_code != 403:  # noqa: PLR2004
                    name = str(error.status_code)
                    self.errors[name] = self.errors.get(name, 0) + 1
                    return
                self.tried[serial] = self.tried.get(serial, 0) + 1
            else:
                self.taken.append(serial)


def _needed(value: T | None) -> T:
    if value is None:
        raise AssertionError
    return value


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


@contextlib.contextmanager
def _bench() -> Iterator[Bench]:
    home = Path(tempfile.mkdtemp(prefix="fleet-agent-takeover-", dir="/var/tmp"))
    try:
        with launch(home / "sandbox") as sandbox:
            yield set_up(sandbox, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    """Run it; 1 when anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="benchmarks/takeover", description=__doc__)
    parser.add_argument(
        "count", nargs="?", type=int, default=DEVICES, metavar="N", help=f"devices ({DEVICES})"
    )
    count = parser.parse_args().count
    logging.disable(logging.WARNING)
    with _bench() as bench:
        result = Trial(bench, count).run()
    for words in result.odd[:20]:
        print(f"odd: {words}")
    print(f"{result.back} of {(count + 1) // 2} back by their own keys; odd: {len(result.odd)}")
    return 1 if result.odd or result.back < (count + 1) // 2 else 0


if __name__ == "__main__":
    sys.exit(main())
