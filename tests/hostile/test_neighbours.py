"""Users and programs of the same device: they take neither places nor names nor secrets from others."""

import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path

from hostile.running import Start, arrives
from support.agent import until
from support.users import as_nobody

PLACES = 64


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(30)
    try:
        client.connect(str(path))
    except OSError:
        client.close()
        raise
    return client


def crowd(path: Path, idle: list[socket.socket]) -> None:
    """One of the same user is too many, one of another user is not."""
    with connected(path) as late:
        late.send(b'{"payload": 1}')
        assert json.loads(late.recv(4096))["error"]["code"] == "busy"
        assert late.recv(4096) == b""
    if os.geteuid() == 0:
        for folder in (path.parent, *path.parent.parents):
            folder.chmod(folder.stat().st_mode | 0o011)
        path.chmod(0o666)
        other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            other.settimeout(30)
            with as_nobody():
                other.connect(str(path))
            other.send(b'{"payload": 2}')
            assert other.recv(4096) == b'{"ok": true}'
        assert json.loads(idle[0].recv(4096))["error"]["code"] == "busy"


def test_neighbours_take_neither_places_nor_the_socket_nor_the_key(
    start: Start, tmp_path: Path
) -> None:
    link = tmp_path / "log"
    link.symlink_to(tmp_path / "pump" / "credentials" / "current" / "private.pem.key")
    follow = {"path": str(link), "name": "log", "format": "text", "start": "beginning"}
    (pump,) = start("pump", telemetry={"sources": [{"socket": {}}, {"file": follow}]})
    pump.wait_connected()
    pump.wait_until_said("source log", "the agent's own")
    path = pump.state_dir / "run" / "telemetry.sock"

    # All places, idle; and one that is too many, which has sent already.
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(path)) for _ in range(PLACES)]
        crowd(path, idle)

    path.unlink()
    until(path.is_socket, "the socket to be made again", 30)
    arrives(pump)
    payloads = b"".join(each.payload for _, each, _ in pump.server.received)
    assert b"PRIVATE KEY" not in payloads


def test_a_runtime_folder_that_somebody_removes_is_made_again(start: Start) -> None:
    (pump,) = start("pump")
    pump.wait_connected()
    folder = pump.state_dir / "run"
    folder.rename(folder.with_name("gone"))
    until((folder / "telemetry.sock").is_socket, "folder and socket to be made again", 30)
    arrives(pump)
