"""A handshake with a server that ends it, or what follows, in one way or another; both are in memory."""

import ssl
import time
from pathlib import Path
from typing import Any, cast

import pytest

from fleet_agent.session.handshake import Handshake
from support.certificates import make_pair
from support.fleets import Claim


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Claim:
    return make_pair(tmp_path_factory.mktemp("server"), name="localhost")


class Line:
    """In place of the socket; behind it a server that says ``last`` once the handshake is done."""

    def __init__(self, pair: Claim, last: str = "") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.private_key)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._last = last
        self._is_done = False
        self.limits: list[float | None] = []
        trusted = ssl.create_default_context(cafile=str(pair.certificate))
        self.handshake = Handshake(trusted, cast("Any", self), "localhost")

    def sendall(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._is_done:
            return
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self._is_done = True
        if self._last == "data":
            self._tls.write(b"a word")
        elif self._last == "close":
            with pytest.raises(ssl.SSLWantReadError):
                self._tls.unwrap()

    def settimeout(self, seconds: float | None) -> None:
        self.limits.append(seconds)

    def recv(self, _: int) -> bytes:
        if sent := self._outgoing.read():
            return sent
        if self._is_done and self._last == "end":
            return b""
        raise TimeoutError


def test_each_wait_has_a_limit_within_that_of_all(server: Claim) -> None:
    line = Line(server)
    assert line.handshake.shake(5.0) == "TLSv1.3"
    assert line.handshake.is_shown
    line.handshake.listen(1.0)
    assert len(line.limits) > 1
    *shaking, listening = line.limits
    assert all(limit is not None and 0 < limit <= 5.0 for limit in shaking)
    assert listening is not None
    assert 0 < listening <= 1.0


def test_a_limit_that_has_passed_is_a_time_out(
    server: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises(TimeoutError, match="timed out"):
        Line(server).handshake.shake(0.0)


@pytest.mark.parametrize("last", ["", "data"])
def test_silence_and_a_word_are_no_end(server: Claim, last: str) -> None:
    line = Line(server, last)
    line.handshake.shake(5.0)
    line.handshake.listen(1.0)


@pytest.mark.parametrize("last", ["end", "close"])
def test_an_end_is_heard_with_and_without_a_goodbye(server: Claim, last: str) -> None:
    line = Line(server, last)
    line.handshake.shake(5.0)
    with pytest.raises(ssl.SSLEOFError):
        line.handshake.listen(1.0)


@pytest.mark.parametrize("hears", [True, False])
def test_what_failed_is_told_even_where_the_alert_cannot_be_sent(
    server: Claim, tmp_path: Path, hears: bool
) -> None:
    alerts: list[bytes] = []

    class Another(Line):
        """A server that is not trusted, and hangs up."""

        def sendall(self, data: bytes) -> None:
            if not self.limits:
                super().sendall(data)
                return
            alerts.append(data)
            if not hears:
                raise BrokenPipeError

    line = Another(server)
    other = ssl.create_default_context(cafile=str(make_pair(tmp_path / "other").certificate))
    handshake = Handshake(other, cast("Any", line), "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake.shake(5.0)
    assert len(alerts) == 1
    assert not handshake.is_shown
