"""Debian's mosquitto as a plain fast broker over mutual TLS, and a device that is provisioned for it."""

import dataclasses
import shutil
import socket
import subprocess
import time
from pathlib import Path

from fleet_agent.clock import SystemClock
from fleet_agent.credentials.model import Attempt, Issued, Registration, Secret
from fleet_agent.credentials.store import Store
from support.certificates import make_certificate
from support.csr import key_pem, make_key

PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"

_SETTINGS = """
user root
listener {port} localhost
cafile {folder}/trusted.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
require_certificate true
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes false
log_dest file {folder}/broker.log
"""


def is_installed() -> bool:
    """Whether mosquitto is on this machine."""
    return Path(PROGRAM).exists()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """A provisioned device: its state directory, its thing name and its files."""

    state_dir: Path
    thing_name: str
    certificate: Path
    private_key: Path


class Mosquitto:
    """A broker on a port of its own that only knows the devices it was made with."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca_file = folder / "server.pem"
        key = make_key()
        self.ca_file.write_text(make_certificate(key, name="localhost"))
        (folder / "server.key").write_bytes(key_pem(key))
        self._trusted = self.ca_file.read_text()
        with socket.create_server(("localhost", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def make_device(self, state_dir: Path, thing_name: str) -> Device:
        """Write the state of a provisioned device; before ``start``."""
        key = make_key()
        certificate = make_certificate(key, name=thing_name)
        self._trusted += certificate
        state_dir.mkdir(mode=0o700)
        store = Store(state_dir, SystemClock())
        now = time.time() - 3600
        found = store.open(
            Attempt(
                endpoint="localhost",
                template="bench",
                method="csr",
                parameters_hash="",
                csr_hash=None,
                tries=1,
                not_before=0.0,
                opened=now,
            )
        )
        found = store.keep_key(found, Secret(key_pem(key).decode()))
        issued = Issued(certificate_id=f"{thing_name}0", token=Secret("none"), received=now)
        found = store.keep_certificate(found, issued, certificate, None)
        registration = Registration(thing_name=thing_name, device_configuration={})
        found = store.keep_registration(found, registration)
        credential = store.promote(store.mark_proven(found, "for the bench"))
        folder = store.folder(credential.generation)
        return Device(
            state_dir=state_dir,
            thing_name=thing_name,
            certificate=folder / "certificate.pem.crt",
            private_key=folder / "private.pem.key",
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        (self.folder / "trusted.pem").write_text(self._trusted)
        settings = self.folder / "mosquitto.conf"
        settings.write_text(_SETTINGS.format(port=self.port, folder=self.folder))
        self._process = subprocess.Popen([PROGRAM, "-c", str(settings)])
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("localhost", self.port), 1).close()
            except OSError:
                assert time.monotonic() < until, "mosquitto does not listen"
                time.sleep(0.05)
            else:
                return

    def stop(self, *, hard: bool = False) -> None:
        """Stop it; ``hard``: with SIGKILL."""
        if self._process:
            (self._process.kill if hard else self._process.terminate)()
            self._process.wait(30)
            self._process = None
