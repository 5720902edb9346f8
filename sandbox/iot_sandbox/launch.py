"""Starts a sandbox as a child process: for tests, the demo and benchmarks. Standard library only.

with launch() as sandbox:
    subprocess.run(["aws", "iot", "list-things"], env=os.environ | sandbox.environment)
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iot_sandbox.client import FaultClient

# Two cold seconds on a fast machine; a loaded one gets a minute.
START_SECONDS = 60.0
STOP_SECONDS = 20.0
_SHOWN_LINES = 30
_AWS_CONFIG = "aws-config"


class LaunchError(RuntimeError):
    """The sandbox did not start; the text carries what it wrote on stderr."""


@dataclass
class Sandbox:
    """A running sandbox; the first nine are its ready line.

    Attributes:
        endpoint: host for devices.
        mqtt_port: port for devices (MQTT over TLS).
        mqtt_ports: every such port, that one first.
        credentials_port: port of the credentials endpoint (HTTPS, mutual TLS).
        http_url: the AWS endpoint, as in ``aws --endpoint-url``.
        ca_file: PEM file with the CA of its server certificate.
        region: AWS region.
        access_key_id: of the account's root.
        secret_access_key: of the account's root.
        log_file: what it writes on stderr.
        faults: sets faults, reads calls.
    """

    endpoint: str
    mqtt_port: int
    mqtt_ports: list[int]
    credentials_port: int
    http_url: str
    ca_file: Path
    region: str
    access_key_id: str
    secret_access_key: str
    log_file: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)
    faults: FaultClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.faults = FaultClient(self.http_url)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def environment(self) -> dict[str, str]:
        """What makes the ``aws`` command and every AWS SDK talk to this sandbox and to nothing else."""
        direct = f"{self.http_url.split('//')[1].rsplit(':', 1)[0]},localhost,127.0.0.1"
        return {
            "AWS_ENDPOINT_URL": self.http_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": "",
            # The caller may have AWS_PROFILE set: name a profile that exists, in a file of ours.
            "AWS_PROFILE": "default",
            "AWS_CONFIG_FILE": str(self.log_file.with_name(_AWS_CONFIG)),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """Ends it as SIGTERM does, saving its state; returns the exit status. Does nothing the second time.

        Args:
            timeout: seconds after which it is killed.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        return self.process.returncode


@contextmanager
def launch(
    state_dir: Path | None = None,
    *,
    arguments: tuple[str, ...] = (),
    timeout: float = START_SECONDS,
) -> Iterator[Sandbox]:
    """Runs a sandbox on free loopback ports for as long as the block lasts.

    Args:
        state_dir: kept afterwards; without one a temporary directory is used and removed.
        arguments: more of the command line, for instance ``("--mqtt-port", "8883")``.
        timeout: seconds it may take to start.

    Raises:
        LaunchError: it ended, or was not ready in time.
    """
    with ExitStack() as stack:
        if state_dir is None:
            temporary = tempfile.TemporaryDirectory(prefix="iot-sandbox-")
            state_dir = Path(stack.enter_context(temporary))
        sandbox = start(state_dir, arguments=arguments, timeout=timeout)
        stack.callback(sandbox.stop)
        yield sandbox


def start(
    state_dir: Path, *, arguments: tuple[str, ...] = (), timeout: float = START_SECONDS
) -> Sandbox:
    """Starts a sandbox that runs until ``stop``, or until this process is gone; ``launch`` says the rest."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    log_file = state_dir / "sandbox.log"
    command = [sys.executable, "-m", "iot_sandbox", "--state-dir", str(state_dir)]
    command += ["--http-port", "0", "--follow-stdin", *arguments]
    for option in ("--mqtt-port", "--credentials-port"):
        if not any(argument.startswith(option) for argument in arguments):
            command += [option, "0"]
    with log_file.open("ab") as log:
        began = log.tell()
        # stdin is a pipe that only we hold: it closes when we die, however we die, and ends the child.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_with_import_path(),
            start_new_session=True,  # a Ctrl-C meant for us is ours to hand on
        )
    try:
        ready = _ready_line(process, timeout)
    except BaseException as error:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        if isinstance(error, LaunchError):
            said = log_file.read_bytes()[began:].decode(errors="replace").splitlines()
            raise LaunchError("\n".join([str(error), *said[-_SHOWN_LINES:]])) from None
        raise
    (state_dir / _AWS_CONFIG).write_text(f"[default]\nregion = {ready['region']}\n")
    ready.pop("ready")
    ready["ca_file"] = Path(ready["ca_file"])
    return Sandbox(**ready, log_file=log_file, process=process)


def _with_import_path() -> dict[str, str]:
    """Lets the child import what we imported, installed or not."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    }


def _ready_line(process: "subprocess.Popen[bytes]", timeout: float) -> dict[str, Any]:
    if process.stdout is None:
        raise LaunchError("no stdout to read from")
    deadline = time.monotonic() + timeout
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(deadline - time.monotonic()):
                raise LaunchError(f"the sandbox was not ready within {timeout:g} s:")
            chunk = os.read(process.stdout.fileno(), 4096)
            if not chunk:
                raise LaunchError(f"the sandbox ended with status {process.wait()}:")
            line += chunk
    found: dict[str, Any] = json.loads(line)
    return found
