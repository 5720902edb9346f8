"""Debian's mosquitto as a plain fast broker over mutual TLS, and a device that is provisioned for it."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

from support.certificates import make_certificate
from support.csr import key_pem, make_key
from support.provisioned import Device, provisioned

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
max_inflight_messages {under_way}
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


class Mosquitto:
    """A broker on a port of its own that only knows the devices it was made with.

    Args:
        folder: Gets its files.
        under_way: Messages that a client has not acknowledged, at a time, whatever it says itself; 0: no limit.
    """

    def __init__(self, folder: Path, *, under_way: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._under_way = under_way
        self.ca_file = folder / "server.pem"
        key = make_key()
        self.ca_file.write_text(make_certificate(key, name="localhost"))
        (folder / "server.key").write_bytes(key_pem(key))
        self._trusted = self.ca_file.read_text()
        with socket.create_server(("localhost", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def make_device(self, state_dir: Path, thing_name: str) -> Device:
        """Writes the state of a provisioned device; before ``start``."""
        device = provisioned(state_dir, thing_name)
        self._trusted += device.certificate.read_text()
        return device

    def start(self) -> None:
        """Starts it and waits until it listens."""
        (self.folder / "trusted.pem").write_text(self._trusted)
        settings = self.folder / "mosquitto.conf"
        settings.write_text(
            _SETTINGS.format(port=self.port, folder=self.folder, under_way=self._under_way)
        )
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
        """Stops it; ``hard``: with SIGKILL."""
        if self._process:
            (self._process.kill if hard else self._process.terminate)()
            self._process.wait(30)
            self._process = None
