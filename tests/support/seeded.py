"""Faults that are put into a healthy device or image, for the doctor to find: each with the code it must be found by.

The table in docs/reference/doctor.md is made of these (``python tests/support/seededtable.py``), and of the ones in
``support.seeded_online``.
"""

import datetime as dt
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fleet_agent.config.load import load
from fleet_agent.credentials.model import Attempt, Event, Issued, Registration, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.doctor import configuration, examine, image
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Finding
from fleet_agent.identity import recovery_state
from fleet_agent.identity.ladder import Rung
from fleet_agent.identity.recovery_state import RecoveryState
from support.certificates import FAR_AWAY, TOMORROW, YESTERDAY, make_pair
from support.clock import FakeClock
from support.users import NOBODY

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SERIAL = "B8827EF01C22"
DAY = dt.timedelta(days=1)


class Bench:
    """A device as files below one folder: configured, provisioned, healthy; or what an image of it looks like.

    Args:
        root: An empty folder.
        is_image: Whether it was never started.
    """

    def __init__(self, root: Path, *, is_image: bool = False) -> None:
        self.root = root
        self.home = root / "etc/fleet-agent"
        self.state_dir = root / "var/lib/fleet-agent"
        self.config = self.home / "config.yaml"
        self.drop_ins = root / "etc/systemd/system/fleet-agent.service.d"
        self.clock = FakeClock(time.time())
        self.is_image = is_image
        self.settings: dict[str, Any] = {
            "endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com",
            "claim": {"certificate": "claim/certificate.pem", "private_key": "claim/key.pem"},
            "provisioning": {
                "template": "fleet-v1",
                "parameters": {"SerialNumber": {"dmi": "product_serial"}},
            },
            "state_dir": str(self.state_dir),
        }
        self._install()
        if is_image:
            self.write("etc/machine-id", "")
        else:
            self.store = Store(self.state_dir, self.clock)
            self._provision()

    def _install(self) -> None:
        for folder in (self.home, self.drop_ins):
            folder.mkdir(parents=True)
        self.claim = make_pair(self.home / "claim")
        self.claim.private_key.chmod(0o600)
        self.save()
        self.write("sys/class/dmi/id/product_serial", f"{SERIAL}\n")
        self.write("usr/bin/fleet-agent", "")
        unit = (CHECKOUT / "systemd/fleet-agent.service").read_text()
        self.write("usr/lib/systemd/system/fleet-agent.service", unit)
        held = (CHECKOUT / "systemd/fleet-agent.socket").read_text()
        self.write("usr/lib/systemd/system/fleet-agent.socket", held)
        self.drop_in("bench.conf", f"[Service]\nReadWritePaths={self.state_dir}\n")

    def _provision(self, *, valid_to: dt.datetime = FAR_AWAY) -> None:
        self.state_dir.mkdir(parents=True, mode=0o700)
        self.promote(valid_to=valid_to)

    def promote(
        self,
        *,
        valid_from: dt.datetime = YESTERDAY,
        valid_to: dt.datetime = FAR_AWAY,
        endpoint: str = "a1b2c3-ats.iot.eu-west-1.amazonaws.com",
    ) -> None:
        """Gives it an identity, in place of the one it has."""
        made = make_pair(
            self.root / f"made-{time.monotonic_ns()}", valid_from=valid_from, valid_to=valid_to
        )
        found = self.store.open(attempt(endpoint=endpoint))
        found = self.store.keep_key(found, Secret(made.private_key.read_text()))
        issued = Issued(
            certificate_id="5e" * 32, ownership_token=Secret("t" * 64), received=self.clock.wall()
        )
        found = self.store.keep_certificate(found, issued, made.certificate.read_text(), None)
        shutil.rmtree(made.certificate.parent)
        found = self.store.keep_registration(
            found, Registration(thing_name=f"pump-{SERIAL}", device_configuration={})
        )
        self.store.promote(self.store.mark_proven(found, "a test"))
        self.store.remove_replaced()

    # What faults change ----------------------------------------------------------------------------------------------

    @property
    def current(self) -> Path:
        """The folder of the current credential."""
        return (self.state_dir / "credentials/current").resolve()

    def save(self, **sections: object) -> None:
        """Writes the configuration, with other sections."""
        self.settings |= sections
        self.config.write_text(yaml.safe_dump(self.settings))

    def write(self, name: str, text: str | bytes) -> Path:
        """Writes a file below the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def drop_in(self, name: str, text: str) -> None:
        """Writes a drop-in of the unit."""
        self.write(f"etc/systemd/system/fleet-agent.service.d/{name}", text)

    def new_claim(self, valid_to: dt.datetime) -> None:
        """Puts another claim in the place of the one there."""
        make_pair(self.home / "claim", valid_to=valid_to)
        self.claim.private_key.chmod(0o600)

    # What the doctor says --------------------------------------------------------------------------------------------

    def device(self) -> Device:
        """The device as the doctor sees it."""
        settings, _ = configuration.read(lambda: load(self.config), self.config)
        state_dir = Path(settings.state_dir) if settings else self.state_dir
        return Device(
            settings=settings,
            config=self.config,
            state_dir=state_dir,
            runtime_dir=state_dir / "run",
            clock=self.clock,
            root=self.root,
            environment={},
        )

    def examine(self, *, fixes: bool = False) -> list[Finding]:
        """Everything the doctor finds without the network."""
        if self.is_image:
            return list(image.check(self.root, load, self.clock))
        _, reported = configuration.read(lambda: load(self.config), self.config)
        device = self.device()
        return [*reported, *examine.before(device, fixes=fixes), *examine.after(device, None)]


def attempt(**changes: Any) -> Attempt:
    """What a generation is for."""
    values = {
        "endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com",
        "template": "fleet-v1",
        "method": "csr",
        "parameters_hash": "00",
        "csr_hash": None,
        "tries": 1,
        "not_before": 0.0,
        "opened": 0.0,
    }
    return Attempt(**{**values, **changes})


@dataclass(frozen=True)
class Seeded:
    """One fault.

    Attributes:
        title: What is done, for the table.
        code: What the doctor must say.
        seed: Does it.
        names: What the finding must name: a file, a topic, a parameter.
        also: Other codes that follow from it.
        as_root: Whether only root can do it.
        level: How bad it is.
    """

    title: str
    code: str
    seed: Callable[[Bench], object]
    names: str
    also: tuple[str, ...] = ()
    as_root: bool = False
    level: str = "failed"


def _expired_identity(bench: Bench) -> None:
    bench.promote(valid_to=YESTERDAY + DAY / 2)


def _another_key(bench: Bench, path: Path) -> None:
    other = make_pair(bench.root / "other")
    path.write_bytes(other.private_key.read_bytes())
    shutil.rmtree(bench.root / "other")


def _other_key(bench: Bench) -> None:
    _another_key(bench, bench.current / "private.pem.key")


def _other_claim_key(bench: Bench) -> None:
    _another_key(bench, bench.claim.private_key)


def adopting(bench: Bench) -> None:
    """A device that comes with a pair of its own, before its first start."""
    _unprovision(bench)
    make_pair(bench.home / "own").private_key.chmod(0o600)
    bench.settings.pop("claim")
    own = {
        "certificate": "own/certificate.pem",
        "private_key": "own/key.pem",
        "thing_name": "pump",
    }
    bench.save(identity=own)


def _other_board(bench: Bench) -> None:
    serial = "sys/firmware/devicetree/base/serial-number"
    bench.write(serial, "1000000a3f2c1b9d\0")
    from fleet_agent.device import fingerprint

    fingerprint.keep(bench.state_dir, "5e" * 32, bench.root)
    bench.write(serial, "1000000099999999\0")


def _stuck(bench: Bench) -> None:
    bench.store.open(attempt(tries=9, not_before=bench.clock.wall() + 3000))


def _dead(bench: Bench) -> None:
    known = RecoveryState(refused_since=bench.clock.now).at(Rung.APPROVAL, "403", bench.clock.now)
    recovery_state.write(bench.state_dir, known)


def _left_behind(bench: Bench) -> None:
    bench.store.ledger.record("ab" * 32, Event.UNRESOLVED, 1, bench.clock.wall())


def _in_memory(bench: Bench) -> None:
    folder = Path("/dev/shm") / f"doctor-{os.getpid()}-{time.monotonic_ns()}"
    shutil.copytree(bench.state_dir, folder, symlinks=True)
    bench.drop_in("bench.conf", f"[Service]\nReadWritePaths={folder}\n")
    bench.save(state_dir=str(folder))


def _no_folder(bench: Bench) -> None:
    shutil.rmtree(bench.state_dir)
    bench.state_dir.write_text("")


def _damaged_queue(bench: Bench) -> None:
    path = bench.state_dir / "telemetry.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE reading (id INTEGER PRIMARY KEY, payload BLOB)")
        connection.executemany(
            "INSERT INTO reading VALUES (?, ?)", [(n, bytes(500)) for n in range(200)]
        )
    connection.close()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 4096)


def _queue_set_aside(bench: Bench) -> None:
    bench.write("var/lib/fleet-agent/telemetry.sqlite3.damaged-1", "").chmod(0o600)


def _link(bench: Bench) -> None:
    link = bench.state_dir / "credentials/current"
    link.unlink()
    link.symlink_to("0009")


def _each(*acts: Callable[[Bench], object]) -> Callable[[Bench], None]:
    def seed(bench: Bench) -> None:
        for act in acts:
            act(bench)

    return seed


def _unprovision(bench: Bench) -> None:
    shutil.rmtree(bench.state_dir / "credentials")


DEVICE = (
    Seeded("an unknown key in the configuration", "configuration",
           lambda b: b.save(enpoint="x"), "enpoint"),
    Seeded("an endpoint of the old kind, without -ats", "endpoint-old",
           lambda b: b.save(endpoint="a1b2c3.iot.eu-west-1.amazonaws.com"), "-ats", also=("endpoint-changed",)),
    Seeded("the state directory in memory (tmpfs)", "state-volatile", _in_memory, "/dev/shm"),
    Seeded("a file where the state directory should be", "state-not-a-folder", _no_folder, "var/lib/fleet-agent"),
    Seeded("a state directory that others can look into", "state-mode",
           lambda b: b.state_dir.chmod(0o755), "var/lib/fleet-agent"),
    Seeded("a state directory that holds somebody else's files, too", "state-shared",
           _each(lambda b: b.write("var/lib/fleet-agent/photos/1.jpg", ""), lambda b: b.state_dir.chmod(0o755)),
           "photos"),
    Seeded("a file where the runtime directory should be", "runtime-not-a-folder",
           lambda b: (b.state_dir / "run").write_text(""), "fleet-agent/run"),
    Seeded("a file in it that belongs to another user", "state-owner",
           lambda b: os.chown(b.state_dir / "ledger.jsonl", NOBODY, NOBODY), "ledger.jsonl", as_root=True),
    Seeded("a queue that may grow larger than the disk", "state-space",
           _each(_in_memory, lambda b: b.save(telemetry={"queue": {"max_bytes": "64GiB"}})), "max_bytes",
           also=("state-volatile",), level="warning"),
    Seeded("the device's private key readable by others", "key-readable",
           lambda b: (b.current / "private.pem.key").chmod(0o644), "private.pem.key"),
    Seeded("a private key that is not the certificate's", "key-mismatch", _other_key, "private.pem.key"),
    Seeded("the certificate deleted", "credential-damaged",
           lambda b: (b.current / "certificate.pem.crt").unlink(), "credentials/"),
    Seeded("a cut-off registration.json", "state-damaged",
           lambda b: (b.current / "registration.json").write_text('{"thing_na'), "registration.json"),
    Seeded("`current` pointing to a generation that is not there", "credential-damaged", _link, "0009"),
    Seeded("the device's certificate expired", "certificate-expired", _expired_identity, "certificate.pem.crt"),
    Seeded("the device's certificate about to expire", "certificate-expires",
           lambda b: b.promote(valid_from=TOMORROW - dt.timedelta(40), valid_to=TOMORROW), "certificate.pem.crt",
           level="warning"),
    Seeded("an identity that AWS IoT refuses for good", "identity-dead", _dead, "waits for approval"),
    Seeded("the storage of another device", "hardware-changed", _other_board, "fingerprint.json"),
    Seeded("an endpoint that is not the identity's", "endpoint-changed",
           lambda b: b.promote(endpoint="other-ats.iot.eu-west-1.amazonaws.com"), "other-ats", level="warning"),
    Seeded("a provisioning that does not get on", "attempt-stuck", _stuck, "tried 9 times", level="warning"),
    Seeded("a certificate that nobody uses, active or not", "certificate-left-behind", _left_behind, "ab" * 32,
           level="warning"),
    Seeded("a key that is to be adopted another one's", "key-mismatch",
           _each(adopting, lambda b: _another_key(b, b.home / "own/key.pem")), "own/key.pem"),
    Seeded("a certificate that is to be adopted missing", "file-unreadable",
           _each(adopting, lambda b: (b.home / "own/certificate.pem").unlink()), "own/certificate.pem"),
    Seeded("a key that is to be adopted readable by all", "key-readable",
           _each(adopting, lambda b: (b.home / "own/key.pem").chmod(0o644)), "own/key.pem"),
    Seeded("the claim missing, before provisioning", "claim-missing",
           _each(_unprovision, lambda b: shutil.rmtree(b.home / "claim")),
           "claim/certificate.pem", also=("not-provisioned",)),
    Seeded("the claim's key readable by all", "claim-readable",
           lambda b: b.claim.private_key.chmod(0o644), "claim/key.pem"),
    Seeded("the proxy's password readable by all", "secret-readable",
           _each(lambda b: b.write("etc/fleet-agent/proxy", "me:hunter2\n").chmod(0o644),
                 lambda b: b.save(proxy="http://127.0.0.1:3128", proxy_credentials="proxy")), "etc/fleet-agent/proxy"),
    Seeded("the claim's key another one's, before provisioning", "key-mismatch",
           _each(_unprovision, _other_claim_key), "claim/key.pem",
           also=("not-provisioned",)),
    Seeded("the claim expired, before provisioning", "claim-expired",
           _each(_unprovision, lambda b: b.new_claim(valid_to=YESTERDAY)),
           "claim/certificate.pem", also=("not-provisioned",)),
    Seeded("the claim cut off", "certificate-invalid",
           lambda b: b.claim.certificate.write_text("-----BEGIN CERTIFICATE-----\nMII"), "claim/certificate.pem",
           level="warning"),
    Seeded("the CA file missing", "ca-unreadable",
           lambda b: b.save(ca_file="nothing.pem"), "nothing.pem"),
    Seeded("a key where the CA should be", "ca-invalid",
           lambda b: b.save(ca_file="claim/key.pem"), "claim/key.pem"),
    Seeded("the proxy's user and password missing", "proxy-credentials",
           lambda b: b.save(proxy="http://127.0.0.1:3128", proxy_credentials="proxy"), "etc/fleet-agent/proxy"),
    Seeded("a clock of 1970", "clock-unset", lambda b: setattr(b.clock, "now", 86400.0), "1970-01-02",
           also=("certificate-not-yet-valid", "claim-not-yet-valid")),
    Seeded("a clock from before the device was provisioned", "clock-back",
           lambda b: b.clock.go(-3600), "before this device"),
    Seeded("a clock that nobody has set", "clock-not-synchronised",
           lambda b: setattr(b.clock, "synchronised", False), "systemd-timesyncd", level="warning"),
    Seeded("a serial number that the manufacturer never wrote, before provisioning", "parameter-unusable",
           _each(_unprovision, lambda b: b.write("sys/class/dmi/id/product_serial", "To be filled by O.E.M.")),
           "SerialNumber", also=("not-provisioned",)),
    Seeded("a parameter whose source is not there, before provisioning", "parameter-unusable",
           _each(_unprovision, lambda b: (b.root / "sys/class/dmi/id/product_serial").unlink()),
           "dmi:product_serial", also=("not-provisioned",)),
    Seeded("a damaged queue", "queue-damaged", _damaged_queue, "telemetry.sqlite3"),
    Seeded("a folder where the queue should be", "queue-damaged",
           lambda b: (b.state_dir / "telemetry.sqlite3").mkdir(mode=0o700), "telemetry.sqlite3"),
    Seeded("a FIFO where the lock should be", "state-damaged",
           lambda b: os.mkfifo(b.state_dir / "lock", 0o600), "lock"),
    Seeded("a queue that was damaged and set aside", "queue-set-aside", _queue_set_aside, "damaged-1", level="warning"),
    Seeded("the unit masked", "unit-masked",
           lambda b: (b.root / "etc/systemd/system/fleet-agent.service").symlink_to("/dev/null"), "systemctl unmask"),
    Seeded("a drop-in that makes the service root's", "unit-user-root",
           lambda b: b.drop_in("user.conf", "[Service]\nUser=root\n"), "user.conf"),
    Seeded("a drop-in without a section", "drop-in-line",
           lambda b: b.drop_in("proxy.conf", "Environment=A=b\n"), "proxy.conf"),
    Seeded("a drop-in whose name does not end in .conf", "drop-in-name",
           lambda b: b.drop_in("data.config", "[Service]\n"), "data.config", level="warning"),
    Seeded("a group of the socket that the socket unit does not make it for", "socket-group",
           lambda b: b.save(telemetry={"sources": [{"socket": {"group": "sensors"}}]}), "SocketGroup=sensors",
           level="warning"),
    Seeded("the socket unit masked", "socket-masked",
           _each(lambda b: b.save(telemetry={"sources": [{"socket": {}}]}),
                 lambda b: (b.root / "etc/systemd/system/fleet-agent.socket").symlink_to("/dev/null")),
           "systemctl unmask", level="warning"),
    Seeded("a socket unit for another place than the agent's", "socket-elsewhere",
           lambda b: b.save(telemetry={"sources": [{"socket": {}}]}, runtime_dir="/tmp/elsewhere"), "/tmp/elsewhere",
           level="warning"),
    Seeded("a claim from a systemd credential that the unit does not load", "credential-not-loaded",
           lambda b: b.save(claim={"certificate": "credential:crt", "private_key": "credential:key"}),
           "LoadCredential=key:"),
    Seeded("a state directory where the unit does not let the agent write", "unit-state-dir",
           lambda b: b.drop_in("bench.conf", "[Service]\n"), "BindPaths="),
)  # fmt: skip

IMAGE = (
    Seeded("an image with an identity baked in", "image-identity",
           lambda b: b.write("var/lib/fleet-agent/credentials/0001/attempt.json", "{}"), "credentials/0001"),
    Seeded("with a ledger", "image-ledger",
           lambda b: b.write("var/lib/fleet-agent/ledger.jsonl", json.dumps({"event": "current"})), "ledger.jsonl"),
    Seeded("with a queue of readings", "image-queue",
           lambda b: b.write("var/lib/fleet-agent/telemetry.sqlite3", ""), "telemetry.sqlite3"),
    Seeded("with a time of first contact", "image-first-contact",
           lambda b: b.write("var/lib/fleet-agent/first-contact.json", "{}"), "first-contact.json"),
    Seeded("with a machine-id", "image-machine-id",
           lambda b: b.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n"), "etc/machine-id"),
    Seeded("with a random seed", "image-random-seed",
           lambda b: b.write("var/lib/systemd/random-seed", b"\1" * 512), "random-seed"),
    Seeded("without the claim that its configuration names", "image-claim-missing",
           lambda b: b.claim.private_key.unlink(), "claim/key.pem"),
    Seeded("with a claim that all can read", "claim-readable",
           lambda b: b.claim.private_key.chmod(0o604), "claim/key.pem"),
    Seeded("with a claim that has expired", "claim-expired",
           lambda b: b.new_claim(valid_to=YESTERDAY), "claim/certificate.pem"),
    Seeded("without a configuration", "image-no-config", lambda b: b.config.unlink(), "config.yaml"),
)  # fmt: skip
