"""A TLS handshake that knows how far it came: a server may end it without a word at any moment, and each means another.

A server refuses a client's certificate in the handshake or right after it, with an alert or with the end of the
connection. Only whoever has proven itself, and has seen the certificate, can have refused it: before that it is the
network's doing.
"""

import contextlib
import socket
import ssl
import time

# Of a record of TLS 1.2: a handshake's message, and which one. The client sends its certificate only after it has found
# the server's chain and name to be fine. TLS 1.3 ends the client's part there.
_HANDSHAKE, _CERTIFICATE = 0x16, 0x0B
_KIND = 5

_CHUNK = 65536


class Handshake:
    """A handshake as a client over a connected socket.

    Args:
        context: What is trusted, and what is shown.
        plain: The socket.
        host: The name that the server has to have.
    """

    def __init__(self, context: ssl.SSLContext, plain: socket.socket, host: str) -> None:
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        # Whether the server has proven itself, and has been sent a certificate if it asked for one.
        self.is_shown = False

    def shake(self, seconds: float) -> str | None:
        """Does it within so long, however slowly the server sends; gives the version of TLS.

        Raises:
            OSError: It failed; ssl.SSLError is one.
        """
        until = _now() + seconds
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send()
                self._receive(until)
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._send()  # an alert
                raise
            else:
                self._send()
                self.is_shown = True
                return self._tls.version()

    def listen(self, seconds: float) -> None:
        """Waits for so long whether the server closes what it has just accepted.

        Raises:
            OSError: It did; ssl.SSLEOFError or ssl.SSLZeroReturnError where it did so without an alert.
        """
        until = _now() + seconds
        while True:
            try:
                if not self._tls.read(1):
                    raise ssl.SSLEOFError
            except ssl.SSLWantReadError:  # also behind what is TLS's own, such as session tickets
                try:
                    self._receive(until)
                except TimeoutError:
                    return
            else:
                return

    def _send(self) -> None:
        sent = self._outgoing.read()
        if sent:
            self._plain.sendall(sent)
        if len(sent) > _KIND and (sent[0], sent[_KIND]) == (_HANDSHAKE, _CERTIFICATE):
            self.is_shown = True

    def _receive(self, until: float) -> None:
        if (left := until - _now()) <= 0:
            raise TimeoutError("timed out")
        self._plain.settimeout(left)
        if received := self._plain.recv(_CHUNK):
            self._incoming.write(received)
        else:
            self._incoming.write_eof()


def _now() -> float:
    return time.monotonic()  # noqa: TID251 - a limit of sockets, which no test's clock moves
