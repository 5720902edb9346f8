"""The installed ``fleet-agent`` command as somebody at a shell meets it: flags in, exit status, stdout and stderr out.

agent = Agent(fleet, tmp_path)
done = agent.provision()
assert done.status == 0 and done.answer["proven"]
with agent.running("--json") as daemon:
    daemon.wait_for_line("connected to")

Everything that a command writes is kept in ``written``, where the check for secrets looks.
"""

import copy
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml

from fleet_agent.provisioning.report import Milestone
from support.fleets import Fleet

COMMAND = Path(sys.executable).with_name("fleet-agent")
LIMIT = 60.0  # seconds for a command that a test waits for

# Of a walk by a claim.
STEPS = tuple(step for step in Milestone if step is not Milestone.ADOPTED)

T = TypeVar("T")

# What commands wrote, and where they kept their state: ``support.secrets`` looks through both.
written: list[tuple[str, str]] = []
state_dirs: list[Path] = []

_serials = itertools.count(1)
_STEP = re.compile(r"^ *\d+\.\d{3} s  (.{14})", re.MULTILINE)
# Of the test's own surroundings nothing may reach the agent.
_FOREIGN = (
    "FLEET_AGENT_",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "CREDENTIALS_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "JOURNAL_",
)


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit status, what it wrote, and the seconds it took."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def answer(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        value: dict[str, Any] = json.loads(self.stdout)
        return value

    @property
    def error(self) -> dict[str, Any]:
        """What ``--json`` says of a failure: ``code``, ``step``, ``title``, ``remedy``."""
        value: dict[str, Any] = self.answer["error"]
        return value

    @property
    def steps(self) -> list[str]:
        """The steps told on stderr, in order."""
        return [name.strip() for name in _STEP.findall(self.stderr)]


def until(condition: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """Waits for a condition; gives what it gave."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return found


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment a command runs in."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return ours | {"PYTHONWARNINGS": "error"} | dict(more or {})


def run_command(
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
    limit: float = LIMIT,
) -> Outcome:
    """Runs ``fleet-agent`` with these words; ``under`` stands before the command, such as ``setpriv``."""
    began = time.monotonic()
    done = subprocess.run(
        [*under, str(COMMAND), *map(str, words)],
        env=environment(env),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=limit,
    )
    outcome = Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
    written.append((f"fleet-agent {words[0]}", done.stdout + done.stderr))
    return outcome


class Agent:
    """One device of a fleet: a state directory, and the flags that name its fleet.

    Args:
        fleet: Gives endpoint, CA, claim and template.
        folder: Gets the state directory ``state``.
        changes: Flags that differ, by name with underscores; None leaves one out.
    """

    def __init__(self, fleet: Fleet, folder: Path, **changes: object) -> None:
        self.fleet = fleet
        self.folder = folder
        self.state_dir = folder / "state"
        self.serial = f"agent{next(_serials)}"  # apart from the serials of support.claimant
        self._changes = changes
        state_dirs.append(self.state_dir)

    def but(self, **changes: object) -> "Agent":
        """The same device, asked with other flags."""
        other = copy.copy(self)
        other._changes = {**self._changes, **changes}
        return other

    @property
    def thing_name(self) -> str:
        """What the fleet's template calls it."""
        return self.fleet.thing_name(self.serial)

    def flags(self, **changes: object) -> list[str]:
        """The flags of the SDK's sample, and the state directory."""
        sandbox, claim = self.fleet.sandbox, self.fleet.claim
        values: dict[str, object] = {
            "endpoint": sandbox.endpoint,
            "port": sandbox.mqtt_port,
            "ca_file": sandbox.ca_file,
            "cert": claim.certificate,
            "key": claim.private_key,
            "template_name": self.fleet.template,
            "template_parameters": json.dumps({"SerialNumber": self.serial}),
            "state_dir": self.state_dir,
            **self._changes,
            **changes,
        }
        given = ((name, value) for name, value in values.items() if value is not None)
        return [
            word for name, value in given for word in (f"--{name.replace('_', '-')}", str(value))
        ]

    def configuration(self, file: Path, **sections: object) -> Path:
        """Writes what the flags say as a configuration file, ``sections`` in place of its own or beside them."""
        sandbox, claim = self.fleet.sandbox, self.fleet.claim
        settings = {
            "endpoint": sandbox.endpoint,
            "port": sandbox.mqtt_port,
            "ca_file": str(sandbox.ca_file),
            "claim": {
                "certificate": str(claim.certificate),
                "private_key": str(claim.private_key),
            },
            "provisioning": {
                "template": self.fleet.template,
                "parameters": {"SerialNumber": self.serial},
            },
            "state_dir": str(self.state_dir),
            **sections,
        }
        file.write_text(yaml.safe_dump(settings))
        return file

    def provision(
        self,
        *more: str | Path,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        limit: float = LIMIT,
        **changes: object,
    ) -> Outcome:
        """Runs ``provision --json``."""
        words = ("provision", "--json", *self.flags(**changes), "--allow-volatile", *more)
        return run_command(*words, env=env, under=under, limit=limit)

    def status(self, *more: str) -> Outcome:
        """Runs ``status --json``."""
        return run_command("status", "--json", "--state-dir", self.state_dir, *more)

    @contextmanager
    def running(
        self,
        *more: str | Path,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (str(COMMAND),),
        verb: str = "run",
        config: Path | None = None,
        **changes: object,
    ) -> Iterator["Daemon"]:
        """Runs ``run`` (or another verb) for as long as the block lasts, at most; by its flags, or ``config``."""
        said = self.flags(**changes) if config is None else ["--config", str(config)]
        words = [*command, verb, *said, "--allow-volatile", *map(str, more)]
        daemon = Daemon(self, words, environment(env))
        try:
            yield daemon
        finally:
            daemon.close()

    # What is on disk -------------------------------------------------------------------------------------------------

    @property
    def credentials(self) -> Path:
        """The folder of the generations."""
        return self.state_dir / "credentials"

    def ledger(self) -> dict[str, list[str]]:
        """Each certificate id with its events, oldest first."""
        path = self.state_dir / "ledger.jsonl"
        found: dict[str, list[str]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            entry = json.loads(line)
            found.setdefault(entry["certificate_id"], []).append(entry["event"])
        return found

    def current_id(self) -> str | None:
        """The certificate id of the current credential."""
        issued = self.credentials / "current" / "issued.json"
        if not issued.exists():
            return None
        found: str = json.loads(issued.read_text())["certificate_id"]
        return found


class Place(Protocol):
    """What a daemon's files are below: an ``Agent``'s own, or any folder."""

    @property
    def folder(self) -> Path: ...
    @property
    def state_dir(self) -> Path: ...


class Daemon:
    """A command that runs beside the test."""

    def __init__(self, agent: Place, words: list[str], env: dict[str, str]) -> None:
        self.agent = agent
        self._what = " ".join(Path(word).name for word in words[:3])
        self._files = agent.folder / "daemon.out", agent.folder / "daemon.err"
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            self.process = subprocess.Popen(
                words, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def stdout(self) -> str:
        """What it has answered so far."""
        return self._files[0].read_text()

    @property
    def log(self) -> str:
        """What it has written on stderr so far."""
        return self._files[1].read_text()

    def wait_for_line(self, text: str, seconds: float = 20.0) -> str:
        """Waits until its log has ``text``; gives the last such line."""

        def lines() -> list[str]:
            found = [line for line in self.log.splitlines() if text in line]
            if not found:
                assert self.process.poll() is None, f"it ended before {text!r}:\n{self.log}"
            return found

        try:
            return until(lines, text, seconds)[-1]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def shown(self) -> dict[str, Any]:
        """What status.json says; empty while there is none."""
        path = self.agent.state_dir / "run" / "status.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def wait_for_problem(
        self, code: str, seconds: float = 20.0, name: str | None = None
    ) -> dict[str, str]:
        """Waits until status.json tells a problem, of the source or handler with this name if any; gives it."""

        def found() -> list[dict[str, str]]:
            shown = self.shown().get("problems", ())
            return [item for item in shown if (item["code"], item["name"]) == (code, name)]

        return until(found, f"problem {code}", seconds)[0]

    def wait_connected(self) -> None:
        """Waits until it is connected."""
        self.wait_for_line("connected to")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal; gives the exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        """Is gone, whatever the test left; what was written is kept for the check."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        written.append((self._what, self.stdout + self.log))
