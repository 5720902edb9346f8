"""A server that does a TLS handshake and nothing else, with whatever certificate a test gives it."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

from support.fleets import Claim


@contextlib.contextmanager
def tls_server(pair: Claim) -> Iterator[int]:
    """Listen on a free port of 127.0.0.1 for as long as the block lasts; give the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.private_key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, context))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return  # closed: the test is over
        plain.settimeout(5)
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
            secured.recv(1)


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
