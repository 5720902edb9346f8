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
from fleet_agent.errors import DeviceError
from fleet_agent.process.listeners import HOST, Listeners
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.vending import container_endpoint
from fleet_agent.vending.alias import Cancel
from fleet_agent.vending.allow_list import UNKNOWN
from fleet_agent.vending.container_endpoint import ContainerEndpoint, Reply
from support.tls import free_port

KNOWN = {"held", "good", "lost"}
ALL = 10**6  # answers: as many as come until the end
GET = b"GET /role-aliases/logs/credentials HTTP/1.1\r\nAuthorization: %s\r\n\r\n"


class Served:
    """A container that answers at once, or later."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.mailbox = Mailbox(clock)
        self.held: list[Reply] = []
        self.gone: list[str] = []
        self.port = free_port()
        self.listeners = Listeners()
        self.failures: list[str] = []
        self.container = ContainerEndpoint(
            self.port,
            listeners=self.listeners,
            mailbox=self.mailbox,
            clock=clock,
            serve=self._serve,
            opened=lambda _: None,
            failed=self.failures.append,
        )
        self.container.act()
        self._clock = clock

    def _serve(self, token: str, alias: str, reply: Reply) -> Cancel | None:
        if token == "held":
            self.held.append(reply)
        elif token == "good":
            reply(alias.encode())
        elif token == "lost":
            reply(DeviceError("No such.", remedy="Add it.", code=UNKNOWN))
        return (lambda: self.gone.append(token)) if token in KNOWN else None

    def turn(self, is_done: Callable[[], object]) -> None:
        until = self._clock.monotonic() + 20
        while not is_done():
            event = self.mailbox.wait(until)
            assert isinstance(event, Ready)
            event.act()

    def turn_idle(self) -> None:
        """Handles what is there."""
        while isinstance(event := self.mailbox.wait(self._clock.monotonic() + 0.05), Ready):
            event.act()

    def exchange(self, sent: bytes, answers: int) -> bytes:
        """What a client reads, until it has so many answers."""
        got = bytearray()

        def talk() -> None:
            address = (HOST, self.port)
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
    made.listeners.close()


def test_requests_of_a_packet_are_answered_in_order_however_many(served: Served) -> None:
    """Each took its frames of the stack within the one before: some hundred would have ended the agent."""
    bad = GET % b"X" * 1500
    got = served.exchange(bad + GET % b"good" + GET % b"held" + GET % b"good", 1503)
    assert got.count(b"401 Unauthorized") == 1500
    assert got.index(b"logs") < got.index(b"later") < got.rindex(b"logs")


@pytest.mark.parametrize("token", [b"", b"nobody", "ü".encode(), b"0." + b"9" * 4000])
def test_a_token_of_nobody_gets_nothing(served: Served, token: bytes) -> None:
    assert b"401 Unauthorized" in served.exchange(GET % token, 1)


@pytest.mark.parametrize(
    "hopeless",
    [
        bytes.fromhex("16030100c8010000c40303") + bytes(180),  # TLS says hello
        b"GET /role-aliases/logs/credentials HTTP/1.1\nAuthorization: good\n\n",
        b"GET / HTTP/1.1\r\nAuthorization: good\n",
        b"GET / HTTP/1.1\r\nA: b\0",
        b"GET / HTTP/1.1\rA",
        b"GET /\r\n",
        b"GET / HTTP/2.0\r\n",
        b"\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        GET % b"good" + b"\x16\x03\x01",
    ],
)
def test_what_cannot_become_a_request_is_answered_at_once(served: Served, hopeless: bytes) -> None:
    """Its program waits for an answer, for a minute."""
    got = served.exchange(hopeless, ALL)
    assert got.count(b"HTTP/1.1 400 Bad Request\r\n") == 1
    assert b"no TLS" in got
    assert got.count(b" 200 OK") == hopeless.startswith(GET % b"good")


def test_a_request_may_come_in_any_pieces(served: Served) -> None:
    """And has what a request may have: it is not taken for something else on its way."""
    whole = (GET % b"good").replace(b"Auth", 'Comment:\tgrüß\' "dich"\r\nEmpty:\r\nAuth'.encode())
    with socket.create_connection((HOST, served.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in whole:
            client.send(bytes([byte]))
            event = served.mailbox.wait(served.container.due)
            assert isinstance(event, Ready)
            event.act()
            while isinstance(more := served.mailbox.wait(0), Ready):
                more.act()
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_a_head_without_end_is_not_collected_for_ever(served: Served) -> None:
    got = served.exchange(b"GET / HTTP/1.1\r\nX: " + b"x" * 3 * container_endpoint.LARGEST, ALL)
    assert got.startswith(b"HTTP/1.1 431 ")
    assert got.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST %s HTTP/1.1\r\nContent-Length: 60", 400),
        (b"GET %s HTTP/1.1\r\nContent-Length: 60", 400),
        (b"GET %s HTTP/1.1\r\nTransfer-Encoding: chunked", 400),
        (b"PUT %s HTTP/1.1", 404),
        (b"PRI * HTTP/2.0", 400),
        (b"nothing", 400),
    ],
)
def test_what_follows_anything_but_a_get_is_not_taken_for_a_request(
    served: Served, head: bytes, status: int
) -> None:
    """A body would be the next request, and its answer that to the one after it."""
    head = head.replace(b"%s", b"/role-aliases/logs/credentials")
    got = served.exchange(head + b"\r\nAuthorization: good\r\n\r\n" + GET % b"good", ALL)
    assert got.startswith(b"HTTP/1.1 %d " % status)
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in got


@pytest.mark.parametrize("token", [b"good", b"held", b"nobody"])
@pytest.mark.parametrize("version", [b"1.0\r\nHost: x", b"1.1\r\nConnection: Close"])
def test_who_wants_no_further_request_reads_the_end_after_the_answer(
    served: Served, version: bytes, token: bytes
) -> None:
    """Programs that read until the end waited for a minute."""
    asked = (GET % token).replace(b"1.1", version)
    got = served.exchange(asked, ALL)
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in got


def test_a_role_alias_that_is_not_there_is_not_found(served: Served) -> None:
    """SDKs ask again after a 500."""
    assert served.exchange(GET % b"lost", 1).startswith(b"HTTP/1.1 404 ")


def test_without_a_descriptor_left_it_does_not_spin(served: Served) -> None:
    """The connection that cannot be accepted stays; the listener would be ready again at once, without end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection((HOST, served.port)):
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
        assert served.container.due <= SystemClock().monotonic() + container_endpoint.RETRY
        # Meanwhile nobody else takes the port, and who connects waits.
        with pytest.raises(OSError, match="in use"):
            socket.create_server((HOST, served.port))


def test_a_program_that_asks_and_goes_is_let_go_with_the_answer(served: Served) -> None:
    """Until then it may have closed its sending side alone, as nc -N does: TCP does not tell these apart."""
    with socket.create_connection((HOST, served.port)) as client:
        client.sendall(GET % b"held")
        served.turn(lambda: served.held)
    served.turn_idle()
    served.held.pop()(b"later")
    assert served.gone == ["held"]


def test_a_program_that_stops_sending_reads_all_its_answers(served: Served) -> None:
    with socket.create_connection((HOST, served.port), timeout=20) as client:
        client.sendall(GET % b"held" + GET % b"good" + GET % b"held")
        client.shutdown(socket.SHUT_WR)
        for answer in (b"first", b"last"):
            served.turn(lambda: served.held)
            served.turn_idle()
            served.held.pop()(answer)
        got = b"".join(iter(lambda: client.recv(65536), b""))
    assert got.index(b"first") < got.index(b"logs") < got.index(b"last")
