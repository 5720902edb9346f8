"""The herd in earnest: 200 agents against the sandbox with its quotas on, and the simulation's figures beside.

Every agent is the agent's own: its wait for its moment, its walk, its store on disk, its TLS and MQTT sessions. They
share a process, a thread each; 200 interpreters would measure this machine and not the quota.
"""

import logging
import shutil
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.provision import FLEET, Bench, set_up

from fleet_agent.clock import SystemClock
from fleet_agent.config.load import load
from fleet_agent.errors import AgentError
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.walk import Request, walk
from fleet_agent.mailbox import Mailbox
from fleet_agent.provisioning import spread
from fleet_agent.provisioning.report import Milestone
from fleet_agent.session import backoff
from fleet_cloud.rehearsal.simulation import Case, Figures, Herd, agent, percentile
from iot_sandbox.launch import launch

AGENTS = 200
PER_SECOND = 4  # of each request: what two processors can carry, TLS and all
LIMIT = 180.0  # seconds that a run may take
OPERATIONS = ("create-from-csr", "register-thing")


class Quiet:
    """Nobody reads 200 walks."""

    def step(self, name: Milestone, detail: str = "") -> None:
        """A step is done."""

    def waiting(self, why: str, seconds: float, problem: object = None) -> None:
        """Something is tried again."""

    def problem(self, problem: AgentError) -> None:
        """Something should be looked at."""


class Fleet:
    """So many agents, switched on together, each with a folder of its own."""

    def __init__(self, bench: Bench, name: str, window: float) -> None:
        self._bench = bench
        self._name = name
        self._window = window
        self._began = time.monotonic()
        self.done: list[float] = []
        self.own: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        """From power-on until every agent has its identity or its time is up."""
        threads = [threading.Thread(target=self._live, args=(n,)) for n in range(AGENTS)]
        self._began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _live(self, number: int) -> None:
        home = self._bench.home / f"{self._name}{number}"
        home.mkdir()
        endpoint, port, ca_file = self._bench.where
        certificate, key = self._bench.claim
        overrides = {
            "endpoint": endpoint, "port": int(port), "ca_file": ca_file, "state_dir": str(home),
            "claim.certificate": certificate, "claim.private_key": key, "provisioning.template": FLEET,
            "provisioning.parameters": {"SerialNumber": home.name},
        }  # fmt: skip
        settings = load(home / "config.yaml", overrides=overrides, required=False)
        clock = SystemClock()
        mailbox = Mailbox(clock)
        mailbox.limit(self._began + LIMIT)
        try:
            spread.await_turn(self._window, home, clock, mailbox)
            first_contact = time.monotonic()
            request = Request(outlasts_refusal=True)
            walk(settings, request, Quiet(), open_store(settings), mailbox)
        except AgentError as error:
            self.errors.append(f"{home.name}: {error.title}")
        else:
            now = time.monotonic()
            self.done.append(now - self._began)
            self.own.append(now - first_contact)


def measure(bench: Bench, name: str, window: float) -> tuple[Fleet, int, int]:
    """One fleet; with the sandbox's counts of requests and of those rejected."""
    faults = bench.sandbox.faults
    faults.clear()
    faults.clear_calls()
    for operation in OPERATIONS:
        faults.add(operation, "quota", per_second=PER_SECOND)
    fleet = Fleet(bench, name, window)
    fleet.run()
    counts = faults.calls()["operations"]
    requests = sum(counts[operation]["requests"] for operation in OPERATIONS)
    rejected = sum(counts[operation]["rejected"] for operation in OPERATIONS)
    return fleet, requests, rejected


def _show(name: str, done: list[float], own: list[float], requests: int, rejected: int) -> None:
    bound = AGENTS / PER_SECOND
    print(
        f"  {name:<42}{max(done) / bound:8.2f}{percentile(done, 0.99) / bound:8.2f}{requests / AGENTS:9.2f}"
        f"{rejected / requests:9.0%}{percentile(own, 0.5):9.1f}{percentile(own, 0.99):8.0f}",
        flush=True,
    )


def _simulated(window: float, seed: int) -> Figures:
    return Herd(Case(AGENTS, per_second=PER_SECOND, is_strict=True), agent(window), seed).run()


def main(seed: int) -> int:
    """Run it; 1 when an agent is left without an identity."""
    logging.disable(logging.WARNING)
    home = Path(tempfile.mkdtemp(prefix="fleet-agent-herd-", dir="/var/tmp"))
    bound = AGENTS / PER_SECOND
    print(f"{AGENTS} agents, {PER_SECOND} registrations a second: the quota needs {bound:.0f} s")
    print(
        f"  {'':<42}{'all by':>8}{'99 % by':>8}{'requests':>9}{'rejected':>9}{'own, s':>9}{'99th':>8}"
    )
    errors = []
    try:
        with launch(home / "sandbox") as sandbox:
            bench = set_up(sandbox, home)
            for name, window in (
                ("fits", backoff.ROOM * bound),
                ("small", backoff.ROOM / 10 * bound),
            ):
                fleet, requests, rejected = measure(bench, name, window)
                errors += fleet.errors
                label = "spread that fits" if name == "fits" else "spread ten times too small"
                _show(f"{label}, against the sandbox", fleet.done, fleet.own, requests, rejected)
                model = _simulated(window, seed)
                _show("… simulated", model.done, model.own, model.requests, model.rejected)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for words in errors[:10]:
        print(f"not provisioned: {words}")
    return 1 if errors else 0
