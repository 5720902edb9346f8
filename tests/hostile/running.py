"""Agents that are provisioned at a scripted server, as many as a test wants, at once."""

import dataclasses
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.agent import COMMAND, Daemon, environment, until
from support.scripted import Server

BUSY = 1.0  # seconds of a processor in ten seconds
# Seconds, at most: seven connections in a row that were refused or ended have the SDK wait for up to 64, by chance.
CONNECT_AGAIN = 130.0
TICKS = os.sysconf("SC_CLK_TCK")


class Running(Daemon):
    """A device at the server: its process, and the program beside it that hands it readings."""

    def __init__(self, server: Server, name: str, state_dir: Path, **settings: Any) -> None:
        self.name = name
        self.server = server
        self.state_dir = state_dir
        self.folder = state_dir.parent / f"{name}-files"
        self.folder.mkdir()
        config = self.folder / "config.yaml"
        telemetry = {"sources": [{"socket": {}}], **settings.pop("telemetry", {})}
        wanted = {
            "endpoint": "localhost",
            "port": server.port,
            "ca_file": str(server.ca_file),
            "state_dir": str(state_dir),
            "telemetry": telemetry,
            **settings,
        }
        config.write_text(json.dumps(wanted))  # JSON is YAML
        words = [str(COMMAND), "run", "--config", str(config), "--allow-volatile"]
        super().__init__(self, words, environment())

    def put(self, *topics: str, payload: object = 1) -> None:
        """Hands it a reading a topic, each below ``dt/NAME/``; they are durable when this returns."""
        path = self.state_dir / "run" / "telemetry.sock"
        until(path.exists, "the socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(path))
            client.settimeout(30)
            for topic in topics:
                client.send(
                    json.dumps({"topic": f"dt/{self.name}/{topic}", "payload": payload}).encode()
                )
                assert client.recv(4096) == b'{"ok": true}'

    @property
    def problems(self) -> list[dict[str, str]]:
        """What its status has."""
        return list(self.shown().get("problems", ()))

    def said(self, *words: str) -> list[dict[str, str]]:
        """The problems that have all these words, in title or remedy, in any case."""
        return [
            item
            for item in self.problems
            if all(word.lower() in f"{item['title']} {item['remedy']}".lower() for word in words)
        ]

    def wait_until_said(self, *words: str, seconds: float = 30.0) -> dict[str, str]:
        """Waits until a problem has all these words; gives it."""
        try:
            return until(
                lambda: self.said(*words), f"{self.name}: a problem with {words}", seconds
            )[0]
        except AssertionError as error:
            raise AssertionError(f"{error}; problems: {self.problems}\n{self.log}") from None

    @property
    def cpu(self) -> float:
        """Seconds of a processor that it used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def is_unharmed(self) -> bool:
        """Whether it lives and nothing was raised in it."""
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log}"
        assert "Traceback" not in self.log, self.log
        assert "Error:" not in self.log, self.log
        return True


@dataclasses.dataclass
class Spent:
    """What processor time an agent takes from now on."""

    agent: Running

    def __post_init__(self) -> None:
        self._cpu, self._began = self.agent.cpu, time.monotonic()

    def check(self) -> None:
        """It is little."""
        spent, passed = self.agent.cpu - self._cpu, time.monotonic() - self._began
        assert spent <= BUSY * max(1.0, passed / 10), f"{self.agent.name}: {spent} s in {passed} s"


def arrives(agent: Running, topic: str = "after", seconds: float = CONNECT_AGAIN) -> None:
    """A reading that is put now is acknowledged."""
    server, name = agent.server, f"dt/{agent.name}/{topic}"
    before = len(server.published(name))
    agent.put(topic)
    server.wait(lambda: len(server.published(name)) > before, f"a reading on {name}", seconds)
    assert agent.is_unharmed()


def listening(*names: object) -> dict[str, Any]:
    """Settings with a subscription a name."""
    return {"subscriptions": [{"topic": f"cmd/{{thing}}/{name}"} for name in names]}


Start = Callable[..., list[Running]]
