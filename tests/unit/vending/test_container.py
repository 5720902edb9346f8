"""The container endpoint against clients that know HTTP and mean no good."""

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.mailbox import Mailbox, Ready
from fleet_agent.vending import container
from fleet_agent.vending.alias import Forget
from fleet_agent.vending.container import Container, Reply

GET = b"GET /role-aliases/logs/credentials HTTP/1.1\r\nAuthorization: %s\r\n\r\n"


class Served:
    """A container that answers at once, or later."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.mailbox = Mailbox(clock)
        self.held: list[Reply] = []
        self.gone: list[str] = []
        with socket.create_server((container.HOST, 0)) as free:
            self.port = free.getsockname()[1]
        self.failures: list[str] = []
        self.container = Container(
            self.port,
            mailbox=self.mailbox,
            clock=clock,
            counter=self._serve,
            opened=lambda _: None,
            failed=self.failures.append,
        )
        self.container.act()
        self._clock = clock

    def _serve(self, token: str, alias: str, reply: Reply) -> Forget | None:
        if token == "held":
            self.held.append(reply)
        elif token == "good":
            reply(alias.encode())
        return (lambda: self.gone.append(token)) if token in {"held", "good"} else None

    def turn(self, is_done: Callable[[], object]) -> None:
        until = self._clock.monotonic() + 20
        while not is_done():
            event = self.mailbox.wait(until)
            assert isinstance(event, Ready)
            event.act()

    def exchange(self, sent: bytes, answers: int) -> bytes:
        """What a client reads, until it has so many answers."""
        got = bytearray()

        def talk() -> None:
            address = (container.HOST, self.port)
            with (
                contextlib.suppress(ConnectionResetError, BrokenPipeError),
                socket.create_connection(address, timeout=20) as client,
            ):
                client.sendall(sent)
                while got.count(b"HTTP/1.1 ") < answers and (data := client.recv(65536)):
                    got.extend(data)

        client = threading.Thread(target=talk)
        client.start()
        while client.is_alive():
            event = self.mailbox.wait(self._clock.monotonic() + 0.05)
            if isinstance(event, Ready):
                event.act()
            for reply in self.held[:]:
                self.held.remove(reply)
                reply(b"later")
        return bytes(got)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    assert not made.failures
    yield made
    made.container.close()


def test_requests_of_a_packet_are_answered_in_order_however_many(served: Served) -> None:
    """Each took its frames of the stack within the one before: some hundred would have ended the agent."""
    bad = b"X\r\n\r\n" * 1500
    got = served.exchange(bad + GET % b"good" + GET % b"held" + GET % b"good", 1503)
    assert got.count(b"400 Bad Request") == 1500
    assert got.index(b"logs") < got.index(b"later") < got.rindex(b"logs")


@pytest.mark.parametrize("token", [b"", b"nobody", "ü".encode(), b"0." + b"9" * 4000])
def test_a_token_of_nobody_gets_nothing(served: Served, token: bytes) -> None:
    assert b"401 Unauthorized" in served.exchange(GET % token, 1)


def test_a_head_without_end_is_not_collected_for_ever(served: Served) -> None:
    assert served.exchange(b"GET / HTTP/1.1\r\nX: " + b"x" * 3 * container.LARGEST, 1) == b""


def test_without_a_descriptor_left_it_does_not_spin(served: Served) -> None:
    """The connection that cannot be accepted stays; the listener would be ready again at once, without end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection((container.HOST, served.port)):
        highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
        held = [os.dup(0) for _ in range(highest)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, hard))
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            event = served.mailbox.wait(SystemClock().monotonic() + 5)
            assert isinstance(event, Ready)
            event.act()
            assert served.mailbox.wait(SystemClock().monotonic() + 0.05) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for each in held:
                os.close(each)
    assert served.container.due <= SystemClock().monotonic() + container.RETRY


def test_a_program_that_asks_and_goes_is_not_kept_until_the_answer(served: Served) -> None:
    with socket.create_connection((container.HOST, served.port)) as client:
        client.sendall(GET % b"held")
        served.turn(lambda: served.held)
    served.turn(lambda: served.gone)
    assert served.gone == ["held"]
