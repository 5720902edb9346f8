"""Listening sockets, and the image of the process that takes them over."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_agent.listeners import Listeners

HEIR = """
import sys
from pathlib import Path
from fleet_agent.listeners import Listeners
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
    with pytest.raises(OSError, match="in use"):
        found.listen(path)
    found.close()
    assert path.read_text() == "somebody else's"


def test_who_connected_before_the_new_image_is_heard_by_it(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    found = Listeners()
    listener = found.listen(path)
    client = connect(path)
    client.send(b"early")
    environment = dict(os.environ)
    found.hand_over(environment)
    done = subprocess.run(
        [sys.executable, "-c", HEIR, str(path)],
        env=environment,
        pass_fds=[listener.fileno()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "early\n"
    assert not path.exists()
    client.close()
    listener.close()


def test_what_nobody_listens_on_any_more_is_closed(tmp_path: Path) -> None:
    kept, other = tmp_path / "kept.sock", tmp_path / "other.sock"
    found = Listeners()
    found.listen(kept)
    found.listen(other)
    found.keep_only(kept)
    assert (kept.exists(), other.exists()) == (True, False)
    found.close()
