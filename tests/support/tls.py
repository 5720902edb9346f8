"""Servers that do a TLS handshake and nothing else, with whatever certificate a test gives them, or not even that."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

from support.fleets import Claim


@contextlib.contextmanager
def tls_server(
    pair: Claim, names: list[str | None] | None = None, *, then: str = "again"
) -> Iterator[int]:
    """Listens on a free port of 127.0.0.1 for as long as the block lasts; gives the port.

    Args:
        pair: What it shows.
        names: Gets the names that clients ask for.
        then: What those meet who come after the first: the same ``again``, a server that is ``silent``, or none:
            ``gone``.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.private_key)
    if names is not None:
        context.sni_callback = lambda _, name, __: names.append(name)

    served = 0

    def serve(plain: socket.socket) -> None:
        nonlocal served
        served += 1
        if then == "gone":
            listener.close()
        elif then == "silent" and served > 1:
            with plain:
                while plain.recv(65536):
                    pass
            return
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
            secured.recv(1)

    with _listening(serve) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def plain_server(answer: bytes) -> Iterator[int]:
    """Listens as ``tls_server`` does, answers so whatever comes, and ends the connection."""

    def serve(plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            plain.recv(65536)
            plain.sendall(answer)

    with _listening(serve) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def deaf_server() -> Iterator[int]:
    """Listens on a port of 127.0.0.1 where nobody is let in: the line before it is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def _listening(serve: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    def accept() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            plain.settimeout(5)
            serve(plain)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextlib.contextmanager
def refusing_server(pair: Claim, version: ssl.TLSVersion, ending: str) -> Iterator[int]:
    """Listens as ``tls_server`` does, and refuses each client's certificate: ``alert``, ``end`` or ``reset``.

    ``early`` ends the connection before the server has shown who it is.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.private_key)
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED  # by no CA at all

    def serve(plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            _shake_and_refuse(plain, context, ending)
            if ending == "reset":
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with _listening(serve) as listener:
        yield listener.getsockname()[1]


def _shake_and_refuse(plain: socket.socket, context: ssl.SSLContext, ending: str) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        incoming.write(plain.recv(65536))
        if ending == "early":
            return
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
        except ssl.SSLError:
            if ending == "alert":
                plain.sendall(outgoing.read())
                plain.shutdown(socket.SHUT_WR)
                plain.recv(65536)
            return


@contextlib.contextmanager
def dripping_server(pause: float) -> Iterator[int]:
    """Listens as ``tls_server`` does; begins a handshake's record, and sends a byte of it after each pause."""
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            plain, _ = listener.accept()
            with plain, contextlib.suppress(OSError):
                plain.sendall(b"\x16\x03\x03\x3f\xff\x02")
                while not is_over.wait(pause):
                    plain.sendall(b"\0")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            is_over.set()
            thread.join()
