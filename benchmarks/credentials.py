"""AWS credentials from memory: answers over one connection, the agent's CPU for each, on the socket and over HTTP."""

import argparse
import http.client
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / part) for part in ("agent", "sandbox", "tests")]

from iot_sandbox.launch import launch  # noqa: E402
from support.agent import Agent  # noqa: E402
from support.fleets import make_fleet  # noqa: E402
from support.tls import free_port  # noqa: E402
from support.vending import allow, credentials, make_alias, section  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
MINUTE = 10_000  # answers


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks/credentials", description=__doc__)
    parser.add_argument(
        "--answers", type=int, default=MINUTE, metavar="N", help=f"of each way ({MINUTE})"
    )
    count = parser.parse_args().answers
    with (
        tempfile.TemporaryDirectory(prefix="fleet-credentials-", dir="/var/tmp") as name,
        launch(Path(name) / "cloud") as sandbox,
    ):
        folder, port = Path(name), free_port()
        fleet, alias = make_fleet(sandbox, folder), make_alias(sandbox)
        allow(fleet, alias.name)
        agent = Agent(fleet, folder)
        wanted = {**section(sandbox, **{alias.name: []}), "http_port": port}
        config = agent.configuration(folder / "config.yaml", credentials=wanted)
        with agent.running(config=config) as daemon:
            daemon.wait_connected()
            run_dir = agent.state_dir / "run"
            credentials("--runtime-dir", run_dir, "--token-file", folder / "token")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect(str(run_dir / "credentials.sock"))
                show("socket", daemon.pid, count, lambda: over_socket(client))
            connection = http.client.HTTPConnection("127.0.0.1", port)
            token, path = (folder / "token").read_text(), f"/role-aliases/{alias.name}/credentials"
            show("HTTP", daemon.pid, count, lambda: over_http(connection, path, token))


def over_socket(client: socket.socket) -> bytes:
    """One answer."""
    client.send(b"{}")
    return client.recv(1 << 18)


def over_http(connection: http.client.HTTPConnection, path: str, token: str) -> bytes:
    """One answer."""
    connection.request("GET", path, headers={"Authorization": token})
    return connection.getresponse().read()


def show(name: str, pid: int, count: int, ask: Callable[[], bytes]) -> None:
    """Ask so often, and print what an answer took of the agent's CPU."""
    assert b"AccessKeyId" in ask(), "no credentials"
    began, before = time.perf_counter(), cpu(pid)
    for _ in range(count):
        ask()
    used, seconds = (cpu(pid) - before) / count, time.perf_counter() - began
    figures = {
        "over": name,
        "answers_a_second": round(count / seconds),
        "cpu_us_an_answer": round(used * 1e6),
        "percent_of_a_core_at_10000_a_minute": round(used * MINUTE / 60 * 100, 1),
    }
    sys.stdout.write(f"{json.dumps(figures)}\n")


def cpu(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


if __name__ == "__main__":
    main()
