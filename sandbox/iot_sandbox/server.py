"""Runs ministack in this process, with the sandbox's parts in place. Import it only after ``environment.prepare``."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import Framework

from iot_sandbox import api, control, ground, seams
from iot_sandbox.bulk import BulkTasks
from iot_sandbox.calls import Calls
from iot_sandbox.credentials import CredentialsEndpoint
from iot_sandbox.faults import Faults
from iot_sandbox.listeners import Listening, SandboxLoop, port_of
from iot_sandbox.provisioning import Provisioning
from iot_sandbox.role_aliases import RoleAliases
from iot_sandbox.settings import (
    ACCESS_KEY_ID,
    EXIT_UNAVAILABLE,
    SECRET_ACCESS_KEY,
    SandboxError,
    Settings,
)

# A request in flight at the end gets this long.
GRACE_SECONDS = 1.0
POLL_SECONDS = 0.01


def run(
    settings: Settings,
    state_dir: Path,
    listening: Listening,
    announce: Callable[[dict[str, object]], None],
    faults: Faults | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then saves the state.

    Args:
        settings: the sandbox asked for.
        state_dir: absolute, exclusively ours.
        listening: the sockets.
        announce: gets the ready line's values, once.
        faults: for an embedding program that sets faults without HTTP.

    Raises:
        SandboxError: the MQTT listener did not start.
    """
    table, calls, bulk = faults or Faults(), Calls(), BulkTasks()
    provisioning = Provisioning(table, calls, time.monotonic, settings.switches)
    seams.install(settings, listening, table, calls, provisioning)
    aliases = RoleAliases(state_dir / "role-aliases.json")
    seams.install_control(bulk, aliases)
    endpoint = CredentialsEndpoint(aliases, table, calls)
    app = cast(
        "Framework",
        control.beside(
            api.within_quotas(ground.ministack_app.app, table),
            control.Control(table, calls, bulk),
        ),
    )

    async def main() -> None:
        stop = asyncio.Event()
        _stop_on_request(stop, follow_stdin=settings.follow_stdin)
        serving = asyncio.create_task(
            serve(app, _config(listening.http), shutdown_trigger=stop.wait)
        )
        ready = asyncio.create_task(
            _until_ready(listening.http, endpoint.serve(listening.credentials))
        )
        await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():  # told to end while starting, or failed
            ready.cancel()
        elif failure := ready.exception():
            stop.set()
            await serving
            raise failure
        else:
            announce(_ready_line(settings, state_dir, listening))
        await serving

    with asyncio.Runner(loop_factory=lambda: SandboxLoop(listening.mqtt)) as runner:
        runner.run(main())


def _config(http: socket.socket) -> Config:
    config = Config()
    config.bind = [f"fd://{http.dup().detach()}"]  # hypercorn closes what it is given
    config.keep_alive_timeout = 75
    config.graceful_timeout = GRACE_SECONDS
    return config


def _stop_on_request(stop: asyncio.Event, *, follow_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if follow_stdin:

        def read() -> None:
            if not os.read(sys.stdin.fileno(), 1024):
                loop.remove_reader(sys.stdin)
                stop.set()

        loop.add_reader(sys.stdin, read)


async def _until_ready(http: socket.socket, serving: Awaitable[object]) -> None:
    while not ground.is_listening():
        if ground.listener_failed():
            raise SandboxError("ministack did not start; its log says why", EXIT_UNAVAILABLE)
        await asyncio.sleep(POLL_SECONDS)
    # Makes the CA and the server certificate, which the first device would have to wait for.
    await ground.server_context()
    await serving
    # As a target, an address for every interface means this machine's loopback.
    reader, writer = await asyncio.open_connection(*http.getsockname()[:2])
    writer.write(b"GET /_sandbox/faults HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    await reader.readline()
    writer.close()


def _ready_line(settings: Settings, state_dir: Path, listening: Listening) -> dict[str, Any]:
    ca_file, mqtt_ports = state_dir / "ca.pem", [port_of(each) for each in listening.mqtt]
    ca_file.write_text(ground.ca_pem())
    return {
        "ready": True,
        "endpoint": settings.endpoint,
        "mqtt_port": mqtt_ports[0],
        "mqtt_ports": mqtt_ports,
        "credentials_port": port_of(listening.credentials),
        "http_url": f"http://{settings.http_host}:{port_of(listening.http)}",
        "ca_file": str(ca_file),
        "region": settings.region,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY,
    }
