"""A local program that sends numbered readings to the agent's socket, a hundred a second, and keeps account of them.

with Sender(path, "dt/pump/n") as sender:
    ...
assert not sender.refused
"""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Self

RATE = 100  # readings a second
_PATIENCE = 30.0  # seconds for one answer


class Sender:
    """Sends until the block ends: one reading at a time, the same again where the connection ended before its answer.

    Args:
        path: Of the socket.
        topic: Where its readings go.
    """

    def __init__(self, path: Path, topic: str) -> None:
        self._path, self._topic = path, topic
        self._client: socket.socket | None = None
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.stored: list[int] = []
        self.refused: list[str] = []  # connections that were not taken, and readings that were not
        self.connections = 0
        self.longest = 0.0  # seconds that one reading took to be stored

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()
        if self._client is not None:
            self._client.close()

    def _run(self) -> None:
        number, begun = 0, time.monotonic()
        while not self._enough.is_set():
            at = time.monotonic()
            self._store(number)
            self.longest = max(self.longest, time.monotonic() - at)
            number += 1
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))

    def _store(self, number: int) -> None:
        packet = json.dumps({"topic": self._topic, "payload": {"n": number}}).encode()
        answer = b""
        while not answer and not self._enough.is_set():
            try:
                client = self._client = self._client or self._connect()
                client.send(packet)
                answer = client.recv(65536)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""  # ended from there: connect again
            except OSError as error:
                self.refused.append(f"{number}: {error!r}")
                time.sleep(0.01)
            if not answer and self._client is not None:
                self._client.close()
                self._client = None
        if answer and not json.loads(answer).get("ok"):
            self.refused.append(f"{number}: {answer.decode()}")
        elif answer:
            self.stored.append(number)

    def _connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(_PATIENCE)
        client.connect(str(self._path))
        self.connections += 1
        return client
