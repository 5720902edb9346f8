"""Listening sockets, and the image of the process that takes them over."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fleet_agent.process.listeners import HOST, Listeners
from support.tls import free_port

HEIR = """
import sys
from pathlib import Path
from fleet_agent.process.listeners import Listeners
path = Path(sys.argv[1])
found = Listeners()
client, _ = found.listen(path).accept()
print(client.recv(100).decode())
found.close()
"""


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(str(path))
    return client


def test_it_listens_once_and_goes_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    found = Listeners()
    first = found.listen(path)
    assert found.listen(path) is first
    assert path.stat().st_mode & 0o777 == 0o660
    found.close()
    assert not path.exists()


def test_one_whose_path_was_removed_or_taken_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    found = Listeners()
    found.listen(path)
    path.unlink()
    assert not found.is_there(path)
    found.listen(path)
    connect(path).close()
    path.unlink()
    path.write_text("somebody else's")
    with pytest.raises(OSError, match="exists"):
        found.listen(path)
    found.close()
    assert path.read_text() == "somebody else's"


def test_a_path_is_there_only_when_it_is_listened_on(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    refused: list[OSError] = []

    def wait_and_connect() -> None:
        while not path.exists():
            pass
        try:
            connect(path).close()
        except OSError as error:
            refused.append(error)

    for _ in range(50):
        found = Listeners()
        waiting = threading.Thread(target=wait_and_connect)
        waiting.start()
        found.listen(path)
        waiting.join()
        found.close()
    assert refused == []
    assert list(tmp_path.iterdir()) == []


def heard_by_heir(
    program: str, where: object, environment: dict[str, str], listener: socket.socket
) -> str:
    """What another image prints that is handed the listener."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(where)],
        env=environment,
        pass_fds=[listener.fileno()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_who_connected_before_the_new_image_is_heard_by_it(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    found = Listeners()
    listener = found.listen(path)
    client = connect(path)
    client.send(b"early")
    environment = dict(os.environ)
    found.hand_over(environment)
    assert heard_by_heir(HEIR, path, environment, listener) == "early\n"
    assert not path.exists()
    client.close()
    listener.close()


HEIR_OF_A_PORT = """
import sys
from fleet_agent.process.listeners import Listeners
found = Listeners()
client, _ = found.listen_on(int(sys.argv[1])).accept()
print(client.recv(100).decode())
"""


def test_a_port_is_never_free_for_others_while_the_new_image_starts() -> None:
    """Another user's program that took it was shown the tokens of those who ask there."""
    found, port = Listeners(), free_port()
    listener = found.listen_on(port)
    assert found.listen_on(port) is listener
    with socket.create_connection((HOST, port)) as client:
        client.send(b"early")
        environment = dict(os.environ)
        found.hand_over(environment)
        with pytest.raises(OSError, match="in use"):
            socket.create_server((HOST, port))
        heard = heard_by_heir(HEIR_OF_A_PORT, port, environment, listener)
    assert heard == "early\n"
    found.keep_only(None)
    socket.create_server((HOST, port)).close()


def test_what_nobody_listens_on_any_more_is_closed(tmp_path: Path) -> None:
    kept, other = tmp_path / "kept.sock", tmp_path / "other.sock"
    found = Listeners()
    found.listen(kept)
    found.listen(other)
    found.keep_only(kept)
    assert (kept.exists(), other.exists()) == (True, False)
    found.close()


ACTIVATED = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from pathlib import Path
from fleet_agent.process.listeners import Listeners
path = Path(sys.argv[1])
found = Listeners()
assert not any(name.startswith("LISTEN_") for name in os.environ)
assert found.given() == [path]
listener = found.listen(path)
assert (listener.fileno(), listener.getblocking(), listener.get_inheritable()) == (3, False, False)
client, _ = listener.accept()
print(client.recv(100).decode())
found.keep_only()
assert found.listen(path) is listener, "it is kept, used or not"
environment = {}
found.hand_over(environment)
os.environ |= environment
again = Listeners()
assert again.given() == [path]
again.close()
"""


def test_one_that_systemd_holds_is_taken_and_left(tmp_path: Path) -> None:
    path = tmp_path / "held.sock"
    held = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    held.bind(str(path))
    held.listen()
    client = connect(path)
    client.send(b"early")
    # As systemd passes it: the first descriptor after the standard three.
    script = f"import os, sys; os.dup2({held.fileno()}, 3); exec(sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), ACTIVATED],
        env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "telemetry"},
        pass_fds=[held.fileno(), 3] if held.fileno() != 3 else [3],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("early\n", 0), done.stderr
    assert path.exists(), "the path is systemd's to remove"
    connect(path).close()
    client.close()
    held.close()


def test_what_systemd_passes_to_another_process_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    found = Listeners()
    assert not found.given()
    found.listen(tmp_path / "x.sock")
    found.close()
