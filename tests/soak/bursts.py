"""Commands down and readings up in bursts, while the agent is stopped for moments and its connection is cut.

Every command is handled once for each time it was sent (its id tells a duplicate apart), every reading is acknowledged
while the process lives, and ``problems`` says what is true at every moment.
"""

import collections
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from awscrt import io, mqtt5

from soak.agent import run_agent
from soak.program import Program
from support.mosquitto import Mosquitto
from support.wire import Wire

PROGRAMS = 2  # that hand in readings
QUIET = 40.0  # seconds without progress after which what is missing is given up, beside ...
RECONNECT = (1.5, 300.0)  # ... the longest wait after a first cut, and after any; it doubles
HEALED = 30.0  # seconds after a disturbance until which a problem may be told, beside the wait
LOOK_EVERY = 0.05  # seconds between two looks at the status

# The third cut is a problem of its own, and stays one for longer than a run lasts.
OFTEN = 3
OF_A_CUT = ("offline",)
OF_MANY_CUTS = ("connection-unstable", "message-set-aside")


class Identity(Protocol):
    """A certificate and its key on disk."""

    @property
    def certificate(self) -> Path: ...
    @property
    def private_key(self) -> Path: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A broker, a device that is provisioned there, and somebody in the cloud who may do everything."""

    port: int
    ca_file: Path
    state_dir: Path
    thing_name: str
    operator: Identity


@dataclasses.dataclass(kw_only=True)
class Found:
    """What a run found; all but the first five are to be empty."""

    seconds: float = 0.0
    stops: int = 0
    cuts: int = 0
    duplicates: int = 0
    arrived: int = 0
    commands_missing: list[str] = dataclasses.field(default_factory=list)
    commands_twice: list[str] = dataclasses.field(default_factory=list)
    readings_missing: int = 0
    readings_unacknowledged: int = 0
    refused: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, nothing done twice and nothing said that was not so."""
        lists = (self.commands_missing, self.commands_twice, self.refused, self.problems)
        return not (any(lists) or self.readings_missing or self.readings_unacknowledged)


class Listener(threading.Thread):
    """The program behind the socket handler: answers each command after a moment, counts each id."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.counts: collections.Counter[str] = collections.Counter()
        self._chance = chance
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        self._socket.listen(64)

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                data = connection.recv(1 << 20)
                if data:
                    self.counts[json.loads(data)["id"]] += 1
                    if self._chance.random() < 0.02:
                        time.sleep(self._chance.random() * 0.05)
                    connection.send(b'{"status": 0}')

    def close(self) -> None:
        """Listens no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Cloud:
    """Sends commands in bursts, and counts the readings that arrive."""

    def __init__(self, target: Target, thing: str) -> None:
        self._thing = thing
        self.seen: set[tuple[str, int]] = set()
        up = threading.Event()
        options = io.TlsContextOptions.create_client_with_mtls(
            target.operator.certificate.read_bytes(), target.operator.private_key.read_bytes()
        )
        options.override_default_trust_store(target.ca_file.read_bytes())
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name="localhost",
                port=target.port,
                tls_ctx=io.ClientTlsContext(options),
                connect_options=mqtt5.ConnectPacket(client_id="the-cloud"),
                on_publish_callback_fn=self._arrived,
                on_lifecycle_event_connection_success_fn=lambda _data: up.set(),
                disable_metrics=True,
            )
        )
        self._client.start()
        assert up.wait(30)
        wanted = mqtt5.Subscription(f"dt/{thing}/bursts/#", mqtt5.QoS.AT_LEAST_ONCE)
        self._client.subscribe(mqtt5.SubscribePacket([wanted])).result(30)

    def _arrived(self, data: Any) -> None:
        packet = data.publish_packet
        found = json.loads(packet.payload)
        for number in found if isinstance(found, list) else [found]:
            self.seen.add((packet.topic, number))

    def send(self, names: list[str]) -> None:
        """A burst of commands, all at once; returns when the broker has them."""
        sent = [
            self._client.publish(
                mqtt5.PublishPacket(
                    topic=f"cmd/{self._thing}/{name}",
                    payload=json.dumps({"id": name}).encode(),
                    qos=mqtt5.QoS.AT_LEAST_ONCE,
                )
            )
            for name in names
        ]
        for message in sent:
            message.result(60)

    def close(self) -> None:
        """Leaves."""
        self._client.stop()


class Watch(threading.Thread):
    """Looks at the status again and again: which problems it had while nothing was wrong."""

    def __init__(self, status: Path) -> None:
        super().__init__(daemon=True)
        self.untrue: dict[str, None] = {}
        self._status = status
        self._cuts = 0
        self._healed = 0.0
        self._is_over = threading.Event()

    def disturbed(self, cuts: int) -> None:
        """Something was done to the agent; so many times by now its connection was cut."""
        self._cuts = cuts
        first, longest = RECONNECT
        self._healed = time.monotonic() + HEALED + min(longest, first * 2.0 ** min(cuts, 30))

    def _is_true(self, problem: Mapping[str, str], now: float) -> bool:
        if problem["code"] in OF_MANY_CUTS:
            return self._cuts >= OFTEN
        return problem["code"] in OF_A_CUT and now <= self._healed

    def run(self) -> None:
        while not self._is_over.wait(LOOK_EVERY):
            began = time.monotonic()
            for problem in self.shown().get("problems", ()):
                if not self._is_true(problem, began):
                    self.untrue[f"{problem['code']}: {problem['title']}"] = None

    def shown(self) -> dict[str, Any]:
        """What the status says now."""
        try:
            return dict(json.loads(self._status.read_text()))
        except FileNotFoundError:
            return {}

    def close(self) -> None:
        """Looks no more."""
        self._is_over.set()
        self.join()


class Bursts:
    """One run.

    Args:
        folder: Gets everything.
        target: Where to.
        commands: How many, half of them for a file handler and half for a socket handler.
        readings: How many.
        seed: Chooses bursts and moments.
        disturbances: How often the agent is stopped or its connection cut.
    """

    def __init__(
        self,
        folder: Path,
        target: Target,
        *,
        commands: int,
        readings: int,
        seed: int,
        disturbances: int,
    ) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._target = target
        self._names = [
            f"{'file' if self._chance.random() < 0.5 else 'socket'}/{number}"
            for number in range(commands)
        ]
        total = commands + readings
        # The last part is left in peace: what is lost there does not come again.
        moments = [self._chance.randrange(total * 4 // 5) for _ in range(disturbances)]
        self._moments = collections.deque(sorted(moments))
        self._found = Found()
        self._sent = 0
        self._out = folder / "out"
        self._out.mkdir()
        status = target.state_dir / "run" / "status.json"
        self._watch = Watch(status)
        with ExitStack() as stack:
            self._wire = stack.enter_context(Wire(target.port))
            self._listener = Listener(folder / "l.sock", random.Random(seed))
            stack.callback(self._listener.close)
            self._cloud = Cloud(target, target.thing_name)
            stack.callback(self._cloud.close)
            path = target.state_dir / "run" / "telemetry.sock"
            self._programs = [
                Program(path, f"dt/{target.thing_name}/bursts/{number}", readings // PROGRAMS)
                for number in range(PROGRAMS)
            ]
            self._agent = self._start()
            stack.callback(self._end)
            self._stack = stack.pop_all()

    def run(self) -> Found:
        """Does it all."""
        began = time.monotonic()
        self._await(lambda: "subscribed to" in self._log(), "the agent to subscribe")
        self._watch.disturbed(0)
        for thread in (self._listener, self._watch, *self._programs):
            thread.start()
        sender = threading.Thread(target=self._send, daemon=True)
        sender.start()
        last, moved = (0, 0, 0), time.monotonic()
        while not self._is_done() and time.monotonic() < moved + self._patience:
            done = self._done()
            if done != last:
                last, moved = done, time.monotonic()
            if self._moments and self._progress() >= self._moments[0]:
                self._moments.popleft()
                self._disturb(self._chance.choice(("stop", "cut", "cut while stopped")))
            assert self._agent.poll() is None, f"the agent ended:\n{self._log()}"
            time.sleep(0.01)
        return self._judge(time.monotonic() - began)

    def close(self) -> None:
        """Leaves nothing running."""
        self._stack.close()

    # What goes on ---------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        chance = random.Random(self._chance.random())
        while self._sent < len(self._names):
            count = chance.choice((1, 10, 65, 200, 500))
            self._cloud.send(self._names[self._sent : self._sent + count])
            self._sent = min(len(self._names), self._sent + count)
            time.sleep(chance.random() * 0.1)

    def _disturb(self, how: str) -> None:
        """Stopped and cut: what was under way arrives, and the end of the connection right behind it."""
        if how != "cut":
            self._agent.send_signal(signal.SIGSTOP)
            self._found.stops += 1
            time.sleep(self._chance.random() * 1.5)
        if how != "stop":
            self._found.cuts += 1
            self._watch.disturbed(self._found.cuts)
            self._wire.cut()
        if how != "cut":
            self._agent.send_signal(signal.SIGCONT)
        self._watch.disturbed(self._found.cuts)

    @property
    def _patience(self) -> float:
        first, longest = RECONNECT
        return QUIET + min(longest, first * 2.0 ** min(self._found.cuts, 30))

    # How far it is --------------------------------------------------------------------------------------------------

    def _handled(self) -> int:
        return len(os.listdir(self._out)) + len(self._listener.counts)  # noqa: PTH208 - often

    def _progress(self) -> int:
        return self._handled() + sum(program.acknowledged for program in self._programs)

    def _done(self) -> tuple[int, int, int]:
        acknowledged = self._watch.shown().get("readings_acknowledged", 0)
        return self._progress(), acknowledged, len(self._cloud.seen)

    @property
    def _readings(self) -> int:
        return sum(program.count for program in self._programs)

    def _is_done(self) -> bool:
        progress, acknowledged, seen = self._done()
        return (
            progress == len(self._names) + self._readings
            and (acknowledged, seen) == (self._readings, self._readings)
            and all(problem["code"] in OF_MANY_CUTS for problem in self._watch.shown()["problems"])
        )

    @staticmethod
    def _counted(shown: Mapping[str, Any], what: str) -> int:
        return sum(each[what] for each in shown.get("handlers", {}).values())

    def _judge(self, seconds: float) -> Found:
        found, acknowledged = self._found, self._watch.shown()["readings_acknowledged"]
        self._watch.close()
        self._end()
        shown = self._watch.shown()  # what handlers did last is written at the end
        found.seconds = seconds
        files = set(os.listdir(self._out))  # noqa: PTH208
        done = {f"file/{name}" for name in files} | self._listener.counts.keys()
        found.commands_missing = sorted(set(self._names) - done)
        found.commands_twice = [name for name, count in self._listener.counts.items() if count > 1]
        over = self._counted(shown, "handled") - len(self._names) + len(found.commands_missing)
        if over > 0 and not found.commands_twice:
            found.commands_twice = [f"{over} more were handled than sent"]
        found.duplicates = self._counted(shown, "duplicates")
        found.arrived = len(self._cloud.seen)
        found.readings_missing = self._readings - found.arrived
        found.readings_unacknowledged = self._readings - acknowledged
        found.refused = [words for program in self._programs for words in program.refused]
        if count := self._counted(shown, "refused"):
            found.refused.append(f"{count} commands")
        found.problems = list(self._watch.untrue)
        return found

    # The agent ------------------------------------------------------------------------------------------------------

    def _start(self) -> "subprocess.Popen[bytes]":
        target = self._target
        wanted = {
            "endpoint": "localhost",
            "port": self._wire.port,
            "ca_file": str(target.ca_file),
            "state_dir": str(target.state_dir),
            "subscriptions": [
                {
                    "topic": "cmd/{thing}/file/+",
                    "name": "file",
                    "log": False,
                    "file": {"path": f"{self._out}/{{1}}"},
                    "deduplicate": "payload:id",
                },
                {
                    "topic": "cmd/{thing}/socket/+",
                    "name": "socket",
                    "log": False,
                    "socket": {"path": str(self._folder / "l.sock")},
                    "deduplicate": "payload:id",
                },
            ],
            "telemetry": {
                "sources": [{"socket": {}}],
                "batch": {"format": self._chance.choice(("none", "json")), "max_readings": 20},
                "queue": {"max_messages": 10_000_000, "max_bytes": "1GiB"},
                "limits": {"publishes": 0, "bytes": "0B"},
            },
        }
        return run_agent(self._folder, wanted)

    def _end(self) -> None:
        if self._agent.poll() is None:
            self._agent.send_signal(signal.SIGTERM)
            self._agent.wait(60)

    def _log(self) -> str:
        return (self._folder / "agent.log").read_text()

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < limit, f"{what}:\n{self._log()}"
            time.sleep(0.02)


# Targets


@contextmanager
def at_mosquitto(folder: Path) -> Iterator[Target]:
    """Debian's mosquitto, which queues without a limit, and has as many under way as AWS."""
    broker = Mosquitto(folder / "broker", under_way=100)
    device = broker.make_device(folder / "state", "pump")
    operator = broker.make_device(folder / "operator", "the-cloud")
    broker.start()
    try:
        yield Target(
            port=broker.port,
            ca_file=broker.ca_file,
            state_dir=device.state_dir,
            thing_name=device.thing_name,
            operator=operator,
        )
    finally:
        broker.stop()


@contextmanager
def at_sandbox(folder: Path) -> Iterator[Target]:
    """The local AWS IoT Core, with a device that provisioned there by itself."""
    from iot_sandbox.launch import launch
    from support.fleets import make_fleet

    with launch(folder / "sandbox") as sandbox:
        yield of_fleet(make_fleet(sandbox, folder / "claim"), folder)


def of_fleet(fleet: "Any", folder: Path) -> Target:
    """A place at a sandbox that runs already."""
    from support.agent import Agent
    from support.fleets import make_unbound

    agent = Agent(fleet, folder)
    done = agent.provision()
    assert done.status == 0, done.stderr
    return Target(
        port=fleet.sandbox.mqtt_port,
        ca_file=fleet.sandbox.ca_file,
        state_dir=agent.state_dir,
        thing_name=agent.thing_name,
        operator=make_unbound(fleet.sandbox, folder / "operator"),
    )


PLACES = {"mosquitto": at_mosquitto, "sandbox": at_sandbox}
