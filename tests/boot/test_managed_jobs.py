"""AWS's managed templates on a booted device, by the real helper: what they ask for has happened, and is reported."""

import os
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from boot import packages
from boot.machine import HOST, Machine
from boot.network import Network
from support.agent import until
from support.certificates import make_pair
from support.consoles import Console
from support.fleets import allow_orders
from support.https import serving

CONTENT = b"the new firmware\n" * 1000
SIGNED = "X-Amz-Signature=s3cret"
EXAMPLES = "usr/share/fleet-agent/helpers.d"
HELPERS = "etc/fleet-agent/helpers.d"
# The script that a template names → root's program.
PROGRAMS = {
    "reboot.sh": "reboot",
    "download-file.sh": "download-file",
    "install-packages.sh": "install-package",
    "remove-packages.sh": "remove-package",
    "start-services.sh": "start-service",
    "stop-services.sh": "stop-service",
    "restart-services.sh": "restart-service",
    "slow": "slow",
}


class Answer(BaseHTTPRequestHandler):
    """The file, to who has its signed address."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path.endswith(SIGNED) else 403)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(wire: Network, device: Machine, tmp_path: Path) -> Iterator[str]:
    """Of the file, signed; the device trusts who serves it."""
    pair = make_pair(tmp_path / "tls", name=HOST)
    device.write("etc/fleet-agent/files.pem", pair.certificate.read_text())
    with serving(Answer, pair, wire.host) as port:
        yield f"https://{HOST}:{port}/app.bin?{SIGNED}"


def prepare(device: Machine, folder: Path) -> None:
    """What root does: programs, profiles and lists from the examples; the helper is on."""
    examples, helpers = device.root / EXAMPLES, device.root / HELPERS
    names = {"install-package": "greeting\n", "restart-service": "mine.service\n"}
    for name in ("reboot", "download-file", *names):
        for suffix in ("", ".profile"):
            shutil.copy(examples / f"{name}{suffix}", helpers / f"{name}{suffix}")
    for name, allowed in names.items():
        device.write(f"{HELPERS}/{name}.allow", allowed)
    for name, source in (
        ("remove-package", "install-package"),
        ("start-service", "restart-service"),
        ("stop-service", "restart-service"),
    ):
        for suffix in ("", ".profile"):
            shutil.copy(helpers / f"{source}{suffix}", helpers / f"{name}{suffix}")
    # The template names no sum.
    device.write(f"{HELPERS}/download-file.allow", "/srv/downloads\n")
    with (helpers / "download-file.profile").open("a") as profile:
        profile.write("Environment=SSL_CERT_FILE=/etc/fleet-agent/files.pem\n")
    (device.root / "srv" / "downloads").mkdir(parents=True)
    device.write("etc/systemd/system/mine.service", "[Service]\nExecStart=/bin/sleep 1d\n")
    device.write(f"{HELPERS}/slow", "#!/bin/sh\nexec sleep 1006\n", 0o755)
    packages.publish(device.root, folder, "greeting")
    wants = device.root / "etc/systemd/system/sockets.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    listener = "fleet-agent-helper.socket"
    (wants / listener).symlink_to(f"/usr/lib/systemd/system/{listener}")


class Operator:
    """Gives the device jobs by AWS's templates, one after the other."""

    def __init__(self, device: Machine) -> None:
        self._device = device
        self.console = Console(device)

    def done(self, template: str, status: str = "SUCCEEDED", **parameters: str) -> dict[str, str]:
        """Gives one that ends so; what the device said of it."""
        job = f"{template}-{os.getpid()}-{len(self.console.jobs)}"
        self.console.create_by_template(job, template, parameters)
        found, details = self.console.ended(job)
        assert found == status, details
        return details

    def main_pid(self) -> str:
        return self._device.run("systemctl", "show", "-PMainPID", "mine").strip()

    def downloads(self, address: str) -> None:
        details = self.done(
            "AWS-Download-File", downloadUrl=address, filePath="/srv/downloads/app.bin"
        )
        assert details["stdout"].startswith("/srv/downloads/app.bin: sha256 ")
        assert (self._device.root / "srv/downloads/app.bin").read_bytes() == CONTENT
        # Somewhere else, and without the signature: refused, in words.
        details = self.done(
            "AWS-Download-File", "FAILED", downloadUrl=address, filePath="/etc/cron.d/x"
        )
        assert details["stderr"] == "/etc/cron.d is in no folder of download-file.allow"
        unsigned = address.partition("?")[0]
        details = self.done(
            "AWS-Download-File", "FAILED", downloadUrl=unsigned, filePath="/srv/downloads/y"
        )
        assert details["stderr"] == "the server answers 403 Forbidden"
        assert details["exit-status"] == "69"

    def packages(self) -> None:
        self.done("AWS-Install-Application", packages="greeting")
        assert self._device.run("greeting") == "hello\n"
        self.done("AWS-Remove-Application", packages="greeting", runAsUser="root")
        assert self._device.attempt("greeting").returncode != 0

    def services(self) -> None:
        self.done("AWS-Start-Application", services="mine")
        before = self.main_pid()
        assert before != "0"
        self.done("AWS-Restart-Application", services="mine.service")
        assert self.main_pid() not in (before, "0")
        self.done("AWS-Stop-Application", services="mine")
        assert self.main_pid() == "0"
        details = self.done("AWS-Start-Application", "FAILED", services="ssh")
        assert "ssh.service is not in" in details["stderr"]

    def cancels(self) -> None:
        """What is canceled is ended, though root's."""
        self.console.create("slow", {"operation": "slow"})
        until(lambda: self._device.is_running("sleep 1006"), "it runs", 60)
        self.console.cancel("slow")
        until(lambda: not self._device.is_running("sleep 1006"), "it is ended", 60)

    def restarts(self) -> None:
        certificate_id = self._device.certificate_id()
        self.console.create_by_template("reboot", "AWS-Reboot", {})
        self._device.wait_restart()
        # Not before it is up again.
        assert self.console.execution("reboot")["status"] == "IN_PROGRESS"
        self._device.wait_connected()
        status, details = self.console.ended("reboot")
        assert (status, "exit-status" in details) == ("SUCCEEDED", True)
        assert self._device.certificate_id() == certificate_id


def test_every_managed_template_does_as_root_what_it_says(
    device: Machine, address: str, tmp_path: Path
) -> None:
    allow_orders(device.fleet)
    device.configure(
        handlers={name: {"helper": {"name": name, "timeout": "2m"}} for name in PROGRAMS.values()},
        jobs={"enabled": True, "run_command": True, "operations": PROGRAMS},
    )
    prepare(device, tmp_path)
    with device.booted():
        device.wait_connected()
        operator = Operator(device)
        assert operator.done("AWS-Run-Command", command="id,-nu")["stdout"] == "_fleet-agent"
        operator.downloads(address)
        operator.packages()
        operator.services()
        operator.cancels()
        operator.restarts()
        operator.console.close()
        assert SIGNED not in device.run("journalctl", "--no-pager")
