"""HTTP proxies: tinyproxy as Debian has it, and one that lies.

with Tinyproxy(tmp_path, allowed=sandbox.mqtt_port) as proxy:
    agent.provision(proxy=proxy.url)
    assert proxy.connects() == ["localhost:8883"]
"""

import contextlib
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from support.agent import until

USER, PASSWORD = "otto", "p-word.41"  # tinyproxy takes no other signs


class Tinyproxy:
    """A running tinyproxy.

    Args:
        folder: Gets its configuration and log.
        allowed: The one port that CONNECT may go to.
        has_password: Whether it wants ``USER`` and ``PASSWORD``.
    """

    def __init__(self, folder: Path, allowed: int, *, has_password: bool = False) -> None:
        self._log = folder / "tinyproxy.log"
        self._configuration = folder / "tinyproxy.conf"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        lines = [
            f"Port {self.port}",
            "Listen 127.0.0.1",
            "Allow 127.0.0.1",
            "Timeout 60",
            "LogLevel Connect",
            f'LogFile "{self._log}"',
            f"ConnectPort {allowed}",
            *([f"BasicAuth {USER} {PASSWORD}"] if has_password else []),
        ]
        self._configuration.write_text("\n".join([*lines, ""]))
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        program = shutil.which("tinyproxy", path="/usr/bin:/usr/sbin")
        assert program, "apt-get install tinyproxy (scripts/test does)"
        self._process = subprocess.Popen(
            [program, "-d", "-c", str(self._configuration)], stdout=subprocess.DEVNULL
        )
        until(self._listens, "tinyproxy listens")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def connects(self) -> list[str]:
        """Where it was asked to connect to, in order."""
        text = self._log.read_text() if self._log.exists() else ""
        return re.findall(r"CONNECT (\S+) HTTP", text)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class LyingProxy:
    """Takes any CONNECT and does with it what it wants.

    Args:
        answer: What it says; nothing: never anything.
        then: The port of 127.0.0.1 that the rest goes to; None: it ends there.
    """

    def __init__(self, answer: bytes, then: int | None = None) -> None:
        self._answer = answer
        self._then = then
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=_accept, args=(self._listener, self._serve), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._listener, *self._open)

    def _serve(self, near: socket.socket) -> None:
        self._open.append(near)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (data := near.recv(1)):
                return
            head += data
        if not self._answer:
            return  # and stay open
        near.sendall(self._answer)
        if self._then is None:
            near.shutdown(socket.SHUT_WR)
            return
        _join(near, self._then, self._open)


class Front:
    """A port of this machine (0: any), for IPv4 and IPv6, that leads to another one; keeps what clients say first."""

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True
        )
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.hellos: list[bytes] = []

    def __enter__(self) -> Self:
        threading.Thread(target=_accept, args=(self._listener, self._serve), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._listener, *self._open)

    def cut(self) -> None:
        """Ends every connection."""
        _close(*self._open)
        self._open.clear()

    def _serve(self, near: socket.socket) -> None:
        self._open.append(near)
        self.hellos.append(near.recv(65536, socket.MSG_PEEK))
        _join(near, self._target, self._open)


def _accept(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    def one(near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            serve(near)

    with contextlib.suppress(OSError):  # the test is over
        while True:
            near, _ = listener.accept()
            threading.Thread(target=one, args=(near,), daemon=True).start()


def _join(near: socket.socket, port: int, kept: list[socket.socket]) -> None:
    far = socket.create_connection(("127.0.0.1", port))
    kept.append(far)
    threading.Thread(target=_pump, args=(far, near), daemon=True).start()
    _pump(near, far)


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
