"""A device: a Debian root booted by its own systemd in a container, switched on and off, cut from power, looked into.

with machine.booted():
    machine.wait_for("active")
    machine.run("systemctl", "status", "fleet-agent")
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from boot import roots
from boot.network import Network
from support.agent import until
from support.fleets import Fleet

UNIT = "fleet-agent.service"
HOST = "iot.sandbox"
STATE = "var/lib/fleet-agent"
# systemd-nspawn's exit status when the machine in it restarts.
RESTART = 133


@dataclass
class Machine:
    """A device with the package installed; ``root`` is its file system, also while it is off."""

    root: Path
    network: Network
    fleet: Fleet
    serial: str
    _process: "subprocess.Popen[bytes] | None" = None

    # Before it is switched on ----------------------------------------------------------------------------------------

    def configure(self, **sections: object) -> None:
        """Puts configuration and claim into the root, as root's own: what an image builder does."""
        folder = self.root / "etc" / "fleet-agent"
        claim = self.fleet.claim
        for source in (claim.certificate, claim.private_key):
            self.write(f"etc/fleet-agent/claim/{source.name}", source.read_text())
        self.write("etc/fleet-agent/ca.pem", self.fleet.sandbox.ca_file.read_text())
        settings: Mapping[str, object] = {
            "endpoint": HOST,
            "port": self.fleet.sandbox.mqtt_port,
            "ca_file": "/etc/fleet-agent/ca.pem",
            "claim": {
                "certificate": f"claim/{claim.certificate.name}",
                "private_key": f"claim/{claim.private_key.name}",
            },
            "provisioning": {
                "template": self.fleet.template,
                "parameters": {"SerialNumber": self.serial},
            },
            "telemetry": {"sources": [{"system": {"interval": "5s"}}]},
            "subscriptions": [{"topic": "cmd/{thing}/#", "log": True}],
            **sections,
        }
        given = {key: value for key, value in settings.items() if value is not None}
        (folder / "config.yaml").write_text(yaml.safe_dump(given))
        self.write("etc/hosts", f"127.0.0.1 localhost\n{self.network.host} {HOST}\n")

    def drop_in(self, text: str) -> None:
        """Gives the unit a drop-in."""
        self.write(f"etc/systemd/system/{UNIT}.d/test.conf", text)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Writes a file of root's into the root."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    # On and off -------------------------------------------------------------------------------------------------------

    @contextmanager
    def booted(self) -> Iterator[None]:
        """Switched on for as long as the block lasts; then the power goes."""
        self.switch_on()
        try:
            yield
        finally:
            self.cut_power()

    def switch_on(self) -> None:
        """Switches it on; does not wait for anything."""
        command = ["systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit"]
        command += ["--console=pipe", f"--machine={self.serial}", "-D", str(self.root)]
        command += [f"--network-namespace-path={self.network.path}"]
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )

    @property
    def _console(self) -> Path:
        return self.root.parent / "console.txt"

    def cut_power(self) -> None:
        """Takes the power away: everything in it is killed where it stands."""
        if self._process is not None:
            leader = self.leader()
            for pid in filter(None, (leader, self._process.pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self._process.wait(30)
            self._process = None

    def wait_restart(self, seconds: float = 60) -> None:
        """Waits until it restarts itself, and has it start again: systemd-nspawn leaves that to who started it."""
        assert self._process is not None
        assert self._process.wait(seconds) == RESTART
        self.switch_on()

    def leader(self) -> int | None:
        """Our process id of its process 1, once there is one."""
        if self._process is None:
            return None
        waiting = [self._process.pid]
        for pid in waiting:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                continue
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid"))
            if numbers.split()[1:][-1] == "1":
                return pid
            waiting += map(int, children)
        return None

    # While it is on ---------------------------------------------------------------------------------------------------

    def attempt(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command inside, whatever comes of it."""
        leader = until(self.leader, "the machine's process 1")
        return subprocess.run(
            ["nsenter", "--all", "--target", str(leader), "/usr/bin/env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *command],
            check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    def run(self, *command: str) -> str:
        """Runs a command inside that must work; gives its stdout."""
        done = self.attempt(*command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def is_running(self, words: str) -> bool:
        """Whether a command line inside has these words."""
        shown = self.run("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        return words in shown

    def show(self) -> dict[str, str]:
        """What systemd says of the unit; empty while systemd does not answer yet."""
        done = self.attempt("systemctl", "show", UNIT)
        return dict(line.partition("=")[::2] for line in done.stdout.splitlines())

    def wait_shown(self, seconds: float = 60, **wanted: str) -> dict[str, str]:
        """Waits until systemd says so of the unit; ``StatusText`` need only contain it."""
        shown: dict[str, str] = {}

        def is_so() -> bool:
            shown.clear()
            shown.update(self.show())
            return all(
                value in shown.get(key, "") if key == "StatusText" else shown.get(key) == value
                for key, value in wanted.items()
            )

        try:
            until(is_so, str(wanted), seconds)
        except AssertionError as error:
            found = {key: shown.get(key) for key in (*wanted, "StatusText", "Result")}
            raise AssertionError(f"{error}; but {found}\n{self.journal_text()}") from None
        return shown

    def wait_connected(self, seconds: float = 60) -> dict[str, str]:
        """Waits until it is connected."""
        return self.wait_shown(seconds, ActiveState="active", StatusText="connected as")

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """The unit's entries of this boot, by field."""
        text = self.run("journalctl", "-b", "-o", "json", f"_SYSTEMD_UNIT={UNIT}", *matches)
        return [json.loads(line) for line in text.splitlines()]

    def journal_text(self) -> str:
        """The unit's lines of this boot, as people read them."""
        return self.attempt("journalctl", "-b", "-u", UNIT, "--no-pager").stdout

    # What is on its disk ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        """The state directory, seen from here."""
        return self.root.parent / STATE

    def certificate_id(self) -> str | None:
        """Of the identity that it has."""
        path = self.state / "credentials" / "current" / "issued.json"
        return str(json.loads(path.read_text())["certificate_id"]) if path.exists() else None

    def ledger(self) -> list[dict[str, Any]]:
        """Every line of the ledger."""
        path = self.state / "ledger.jsonl"
        return (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )

    @property
    def thing_name(self) -> str:
        """What the fleet's template calls it."""
        return self.fleet.thing_name(self.serial)


def new(folder: Path, installed: Path, network: Network, fleet: Fleet, serial: str) -> Machine:
    """A machine over a root that has the package, not configured yet."""
    return Machine(roots.mount(installed, folder), network, fleet, serial)
