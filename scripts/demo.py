"""The demonstration: a fleet on this machine, from nothing to telemetry. Started by scripts/demo.

Everything is the real thing: the sandbox speaks TLS and MQTT 5, the cloud is set up by scripts/fleet-cloud through the
aws command, the devices are fleet-agent processes, each with a state directory of its own.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo_page import shown
from fleet_cloud.rehearsal.journal import Life
from iot_sandbox.launch import LaunchError, Sandbox, launch

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
FLEET = "demo"
LIMIT = 90.0  # seconds that any one thing may take

WAYS = (
    ("csr", "key and CSR made on the device"),
    ("keys", "key made by AWS"),
    ("openssl", "key and CSR made with openssl, by hand"),
)

DROP_IN = """\
# For the demonstration only: readings often enough to see them.
telemetry: {sources: [{system: {interval: 2s}}]}
"""


class DemoError(Exception):
    """The demonstration cannot go on; the text says why."""


@dataclass
class Device:
    """One device of the demonstration: a folder, and a process while it runs."""

    number: int
    folder: Path
    way: str
    words: str
    process: "subprocess.Popen[bytes] | None" = None
    status: dict[str, object] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def serial(self) -> str:
        """Its serial number, a template parameter."""
        return f"{self.number:04d}"

    @property
    def log(self) -> Path:
        """What it says on stderr."""
        return self.folder / "log.txt"

    def command(self, verb: str, *more: str) -> list[str]:
        """The agent's command line for this device."""
        return [
            "fleet-agent", verb, "--config", str(HOME / "image/config.yaml"),
            "--state-dir", str(self.folder / "state"), *more,
        ]  # fmt: skip

    @property
    def who(self) -> tuple[str, ...]:
        """What distinguishes this device from the others of the image."""
        parameters = json.dumps({"SerialNumber": self.serial})
        return ("--template-parameters", parameters, "--allow-volatile")

    def start(self) -> None:
        """Starts it as its service would: it provisions if need be, then publishes."""
        method = ("--method", "keys") if self.way == "keys" else ()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run", *self.who, *method), stdout=log, stderr=log
            )

    def provision_by_hand(self) -> "subprocess.Popen[bytes]":
        """As on a bench: key and CSR from openssl, then ``fleet-agent provision``."""
        key, csr = self.folder / "device.key", self.folder / "device.csr"
        curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        subject = ["-subj", f"/CN={self.serial}"]
        for words in (
            ["genpkey", *curve, "-out", str(key)],
            ["req", "-new", "-key", str(key), *subject, "-out", str(csr)],
        ):
            subprocess.run(["openssl", *words], capture_output=True, check=True)
        with self.log.open("ab") as log:
            command = self.command(
                "provision", *self.who, "--csr", str(csr), "--csr-key", str(key)
            )
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self.process

    def look(self) -> bool:
        """Reads its status; tells whether it has an identity and AWS has a reading of it."""
        asked = subprocess.run(
            self.command("status", "--json"), capture_output=True, text=True, check=False
        )
        try:
            self.status = json.loads(asked.stdout)
        except ValueError:
            return False
        daemon = self.status.get("daemon")
        return isinstance(daemon, dict) and bool(daemon.get("readings_acknowledged"))

    def note(self, life: Life, now: float) -> None:
        """Notes how far it is, for the page."""
        if self.process is not None and life.powered is None:
            life.powered = now
        if life.done is None and (self.folder / "state/credentials/current").is_symlink():
            life.done = now

    def stop(self) -> None:
        """Ends it as systemd would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(LIMIT)


def main() -> int:
    """Runs the demonstration; 0 when everything was seen."""
    arguments = _arguments()
    # Leaving no device behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with _home(), launch(HOME / "sandbox") as sandbox:
            os.environ.update(sandbox.environment)
            _say(
                f"a local AWS IoT Core is up: {sandbox.http_url}, MQTT on port {sandbox.mqtt_port}"
            )
            _set_up_cloud(sandbox)
            with _devices(arguments.devices) as devices, shown(devices, arguments.web):
                _provision(devices)
                _await("a reading of each device", lambda: _all_publish(devices))
                _say("every device is connected under its own certificate and publishes")
                _send_command(devices[0])
                _show(devices)
                if arguments.keep:
                    _keep(sandbox, devices[0])
    except (DemoError, LaunchError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    if not arguments.keep:
        print(
            "\nThe devices' files are still in .demo/devices (ledger.jsonl, credentials/current, log.txt).\n"
            "scripts/demo --keep leaves everything running, with commands to try; --devices N makes more."
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Devices provision themselves against a local AWS IoT Core, publish, and hear a message.",
    )
    parser.add_argument(
        "--devices", type=_count, default=3, metavar="N", help="how many (default 3)"
    )
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    parser.add_argument(
        "--web",
        type=int,
        nargs="?",
        const=0,
        metavar="PORT",
        help="show the devices on a page of this machine (default: a free port)",
    )
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:  # noqa: PLR2004 - a laptop's worth of processes
        raise argparse.ArgumentTypeError("a number from 1 to 100")
    return int(text)


def _say(text: str) -> None:
    print(f"• {text}", flush=True)


@contextmanager
def _home() -> Iterator[None]:
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(mode=0o700)
    yield


def _set_up_cloud(sandbox: Sandbox) -> None:
    image = HOME / "image"
    cloud = str(ROOT / "scripts/fleet-cloud")
    for words in (
        ["up"],
        ["claim", "new", "--image", str(image), "--ca-file", str(sandbox.ca_file)],
    ):
        shown = " ".join(word.replace(str(ROOT) + "/", "") for word in words)
        _say(f"fleet-cloud {shown}")
        done = subprocess.run(
            [sys.executable, cloud, *words, "--name", FLEET],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"fleet-cloud {shown} failed:\n{done.stdout}{done.stderr}")
    (image / "config.d").mkdir()
    (image / "config.d/demo.yaml").write_text(DROP_IN)


@contextmanager
def _devices(count: int) -> Iterator[list[Device]]:
    devices = []
    for number in range(1, count + 1):
        way, words = WAYS[(number - 1) % len(WAYS)]
        folder = HOME / f"devices/{number}"
        folder.mkdir(parents=True)
        devices.append(Device(number=number, folder=folder, way=way, words=words))
    try:
        yield devices
    finally:
        for device in devices:
            device.stop()


def _provision(devices: list[Device]) -> None:
    """All at once: those with openssl's CSR by hand, the others as a service would at first boot."""
    _say(f"{len(devices)} devices are switched on at once")
    began = time.monotonic()
    by_hand = []
    for device in devices:
        if device.way == "openssl":
            by_hand.append((device, device.provision_by_hand()))
        else:
            device.start()
    for device, process in by_hand:
        try:
            ended = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            ended = None
        if ended != 0:
            raise DemoError(f"device {device.number} did not provision:\n{device.log.read_text()}")
        device.start()

    def all_have_one() -> bool:
        for device in devices:
            if not device.seconds and (device.folder / "state/credentials/current").is_symlink():
                device.seconds = time.monotonic() - began
            elif device.process is not None and device.process.poll() is not None:
                raise DemoError(f"device {device.number} ended:\n{device.log.read_text()}")
        return all(device.seconds for device in devices)

    _await("an identity for each device", all_have_one)


def _all_publish(devices: list[Device]) -> bool:
    return all(device.look() for device in devices)


def _await(awaited: str, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > until:
            raise DemoError(
                f"{awaited} did not come within {LIMIT:.0f} s; see .demo/devices/*/log.txt"
            )
        time.sleep(0.1)


def _aws(*words: str) -> str:
    done = subprocess.run(["aws", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"aws {' '.join(words)} failed:\n{done.stderr}")
    return done.stdout


def _send_command(device: Device) -> None:
    topic = f"cmd/{device.status['thing_name']}/hello"
    payload = HOME / "command.json"
    payload.write_text('{"say": "hello"}')
    _say(f"aws iot-data publish --topic {topic}")
    _aws("iot-data", "publish", "--topic", topic, "--payload", f"fileb://{payload}")
    _await("the command", lambda: f"message on {topic}" in device.log.read_text())
    heard = next(
        line for line in device.log.read_text().splitlines() if topic in line and "message" in line
    )
    _say(f"device {device.number} says: {heard}")


def _show(devices: list[Device]) -> None:
    _say("aws iot list-things")
    names = [
        thing["thingName"]
        for thing in json.loads(_aws("iot", "list-things", "--output", "json"))["things"]
    ]
    _say("aws iot list-certificates")
    listed = json.loads(_aws("iot", "list-certificates", "--output", "json"))["certificates"]
    states = {item["certificateId"]: item["status"] for item in listed}
    print(
        f"\n{'device':<8}{'thing in AWS':<14}{'certificate':<24}{'identity after':<16}{'readings':<10}how"
    )
    for device in devices:
        device.look()
        name, certificate = str(device.status["thing_name"]), str(device.status["certificate_id"])
        daemon = device.status["daemon"]
        readings = daemon["readings_acknowledged"] if isinstance(daemon, dict) else 0
        if name not in names or states.get(certificate) != "ACTIVE":
            raise DemoError(f"{name} or its certificate is not in AWS as it should be")
        print(
            f"{device.number:<8}{name:<14}{certificate[:10] + '… ACTIVE':<24}{f'{device.seconds:.1f} s':<16}"
            f"{readings:<10}{device.words}"
        )
    print(
        f"{'claim':<22}{len(listed) - len(devices)} certificate{'s' if len(listed) - len(devices) != 1 else ''}"
    )


def _keep(sandbox: Sandbox, device: Device) -> None:
    environment = HOME / "environment"
    environment.write_text(
        "".join(
            f"export {name}={json.dumps(value)}\n" for name, value in sandbox.environment.items()
        )
        + f"export PATH={json.dumps(str(Path(sys.executable).parent))}:$PATH\n"
    )
    environment.chmod(0o600)
    print(
        "\nIt runs until Ctrl-C. In another terminal:\n"
        "  . .demo/environment                       # the aws command now talks to this sandbox\n"
        "  aws iot list-things\n"
        f"  {' '.join(device.command('status')).replace(str(ROOT) + '/', '')}\n"
        "  tail -f .demo/devices/*/log.txt\n"
        f"  scripts/fleet-cloud devices waiting --name {FLEET}      # whom the hook refused, such as a device reset\n"
        f"  scripts/fleet-cloud devices allow {device.status['thing_name']} --any-key --name {FLEET}",
        flush=True,
    )
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
