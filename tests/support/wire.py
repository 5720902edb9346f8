"""The way to the sandbox as a bad network makes it: a port that forwards, swallows, hangs up or dawdles, and counts."""

import contextlib
import socket
import threading
import time
from typing import Self

BYTES = 65536


class Wire:
    """A port of 127.0.0.1 that leads to another one.

    Attributes:
        mode: What happens to the next connection: ``forward``; ``silent`` (accepted, never answered); ``hang-up``
            (closed at once); ``cut`` (closed in the middle of the server's handshake); ``slow`` (a byte a second comes
            back).
        times: Connections that it happens to; those after are forwarded. None: all.
        connections: How many there were.
    """

    def __init__(self, target: int, mode: str = "forward", times: int | None = None) -> None:
        self.mode = mode
        self.times = times
        self.connections = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._is_over = threading.Event()
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection that is open, both ways; the next ones are taken as before."""
        ended, self._open = self._open, []
        for each in ended:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            self.connections += 1
            if self.times is not None and self.connections > self.times:
                self.mode = "forward"
            if self.mode == "hang-up":
                near.close()
                continue
            self._open.append(near)
            if self.mode == "silent":
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open.append(far)
            back = {"slow": self._drip, "cut": self._cut}.get(self.mode, _pump)
            threading.Thread(target=_pump, args=(near, far), daemon=True).start()
            threading.Thread(target=back, args=(far, near), daemon=True).start()

    def _drip(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1):
                target.sendall(data)
                self._is_over.wait(1.0)

    def _cut(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            target.sendall(source.recv(100))
            time.sleep(0.05)  # so that it is seen before the end
            target.shutdown(socket.SHUT_RDWR)
            source.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(BYTES):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
