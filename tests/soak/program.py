"""A program on the device that hands numbered readings to the agent, in order, and takes up where it was cut off."""

import socket
import threading
import time
from pathlib import Path

# Packets that a program sends before it reads the answers: fewer than the socket holds answers of.
WINDOW = 128


class Program(threading.Thread):
    """Sends numbered readings to one topic, in order; after a lost connection from the first unanswered one on."""

    def __init__(self, path: Path, topic: str, count: int) -> None:
        super().__init__(daemon=True)
        self.topic = topic
        self.count = count
        self.acknowledged = 0
        self.refused: list[str] = []
        self._path = path

    def run(self) -> None:
        while self.acknowledged < self.count and not self.refused:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                    client.connect(str(self._path))
                    self._send(client)
            except OSError:
                time.sleep(0.02)

    def _send(self, client: socket.socket) -> None:
        following = self.acknowledged
        while self.acknowledged < self.count:
            while following < min(self.count, self.acknowledged + WINDOW):
                client.send(b'{"topic": "%s", "payload": %d}' % (self.topic.encode(), following))
                following += 1
            answer = client.recv(4096)
            if not answer:
                return
            if answer != b'{"ok": true}':
                self.refused.append(answer.decode())
                return
            self.acknowledged += 1
