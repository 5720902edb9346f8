"""A web server over TLS, with a certificate of its own."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.fleets import Claim


@contextmanager
def serving(
    answer: type[BaseHTTPRequestHandler], pair: Claim, host: str = "localhost"
) -> Iterator[int]:
    """Serves for as long as the block lasts; its port."""
    server = ThreadingHTTPServer((host, 0), answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.private_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
