"""fleet-agent itself, as a person or the service starts it: one folder a device, ended with this command."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_acceptance.children import ended_with_us
from fleet_acceptance.errors import AcceptanceError

COMMAND = Path(sys.executable).with_name("fleet-agent")
LIMIT_SECONDS = 180.0
_SHOWN_LINES = 12
# Of the caller's own surroundings nothing may reach a device.
_FOREIGN = (
    "AWS_",
    "FLEET_AGENT_",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "CREDENTIALS_DIRECTORY",
    "RUNTIME_DIRECTORY",
)


def until(condition: Callable[[], Any], awaited: str, seconds: float = LIMIT_SECONDS) -> Any:  # noqa: ANN401
    """Waits for a condition; gives what it gave.

    Raises:
        AcceptanceError: it did not come.
    """
    limit = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > limit:
            raise AcceptanceError(f"{awaited} did not come within {seconds:g} s")
        time.sleep(0.1)
    return found


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Has an interruption wait for the end of the block: a started device must be known, or it is never stopped.

    Not by blocking signals, which the device would inherit.
    """
    pending: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: pending.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


@dataclass
class Agent:
    """One device.

    Attributes:
        folder: gets its state and its log.
        config: its configuration.
        serial: its serial number, which its thing's name ends with.
        flags: more of the command line of provision and run.
    """

    folder: Path
    config: Path
    serial: str
    flags: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.folder / "state"

    @property
    def log(self) -> str:
        """What it has said on stderr."""
        path = self.folder / "log.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def is_provisioned(self) -> bool:
        """Whether it has an identity."""
        return (self.state / "credentials/current").is_symlink()

    @property
    def parameters(self) -> str:
        """The parameters of the template, as JSON."""
        return json.dumps({"SerialNumber": self.serial})

    def words(self, verb: str, *more: str | Path) -> list[str]:
        """Gives the command line of a verb."""
        given = [verb, "--config", self.config, "--state-dir", self.state, *more]
        return [*ended_with_us(), *map(str, (COMMAND, *given))]

    def call(self, verb: str, *more: str | Path, statuses: tuple[int, ...] = (0,)) -> Any:  # noqa: ANN401
        """Runs a verb that answers in JSON; gives that.

        Raises:
            AcceptanceError: it ended with another status; has its words.
        """
        done = subprocess.run(
            self.words(verb, "--json", *more),
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT_SECONDS + 60,
        )
        if done.returncode not in statuses:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-_SHOWN_LINES:])
            raise AcceptanceError(f"fleet-agent {verb} ended with {done.returncode}:\n{said}")
        return json.loads(done.stdout)

    def who(self) -> tuple[str, ...]:
        """Gives the flags that say which device it is."""
        return ("--template-parameters", self.parameters, "--allow-volatile", *self.flags)

    def provision(self, *more: str | Path, statuses: tuple[int, ...] = (0,)) -> Any:  # noqa: ANN401
        """Runs provision; gives its answer."""
        return self.call("provision", *self.who(), *more, statuses=statuses)

    def start(self) -> None:
        """Starts it as its service would."""
        with (self.folder / "log.txt").open("ab") as log, _interrupted_later():
            self.process = subprocess.Popen(
                self.words("run", *self.who()),
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """Ends it as systemd would; gives up on it after a while."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Lets it run for as long as the block lasts."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def status(self) -> Mapping[str, Any]:
        """Gives its status; empty where it has none yet."""
        try:
            found: Mapping[str, Any] = self.call("status", statuses=(0, 1, 3, 4))
        except (AcceptanceError, ValueError):
            return {}
        return found

    def publishes(self) -> bool:
        """Whether AWS has acknowledged a reading of it; it must be running still.

        Raises:
            AcceptanceError: it has ended.
        """
        if self.process is not None and self.process.poll() is not None:
            said = "\n".join(self.log.splitlines()[-_SHOWN_LINES:])
            raise AcceptanceError(
                f"device {self.serial} ended with {self.process.returncode}:\n{said}"
            )
        return bool(self.shown.get("readings_acknowledged"))

    @property
    def shown(self) -> Mapping[str, Any]:
        """What it shows in its status file: a process for each look would take longer than fifty devices."""
        try:
            found: Mapping[str, Any] = json.loads((self.state / "run/status.json").read_text())
        except (OSError, ValueError):
            return {}
        return found


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
