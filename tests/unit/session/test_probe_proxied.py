"""The steps to AWS IoT behind a proxy: what it does to the way, and what comes out at its other end."""

import ssl
from pathlib import Path

import pytest

from fleet_agent.errors import Exit
from fleet_agent.session import probe
from fleet_agent.session.probe import Stage
from fleet_agent.session.route import Route
from support.certificates import loaded, make_pair
from support.proxy import LyingProxy
from support.tls import plain_server, refusing_server, tls_server

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


def through(proxy: LyingProxy, ca_file: Path) -> Route:
    return Route(host="localhost", port=8883, ca_file=str(ca_file), proxy=proxy.url)


def test_the_whole_way_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    monkeypatch.setattr(probe, "ALERT_LIMIT", 0.05)
    with tls_server(server) as port, LyingProxy(OK, port) as proxy:
        way = through(proxy, server.certificate)
        steps = list(probe.steps(way, None, 1.8e9))
    assert [step.stage for step in steps] == [Stage.PROXY, Stage.TLS]
    assert all(step.error is None for step in steps)
    assert steps[0].seen == f"The proxy {way.proxy_address} allows connections to localhost:8883."


@pytest.mark.parametrize(
    ("answer", "code"), [(b"HTTP/1.1 403 No\r\n\r\n", "proxy-refused"), (b"", "proxy-silent")]
)
def test_a_proxy_that_does_not_let_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, code: str
) -> None:
    monkeypatch.setattr(probe, "STEP_LIMIT", 5.0 if answer else 0.05)
    with LyingProxy(answer) as proxy:
        (step,) = probe.steps(through(proxy, tmp_path), None, 1.8e9)
    assert (step.stage, step.error and step.error.code) == (Stage.PROXY, code)


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        ("http", "something answers there that does not speak TLS"),
        ("end", "the connection ends in the handshake"),
        ("close-notify", "the connection ends in the handshake"),
        ("another", "another server answers there, or the proxy intercepts TLS: "),
    ],
)
def test_what_comes_out_of_a_tunnel_is_not_the_endpoint(
    tmp_path: Path, behind: str, words: str
) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(make_pair(tmp_path / "device"))
    other = make_pair(tmp_path / "other", name="localhost")
    servers = {
        "http": plain_server(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        "end": plain_server(b""),
        # To the OpenSSL of Debian 12 a plain end is one like this.
        "close-notify": plain_server(b"\x15\x03\x03\x00\x02\x01\x00"),
        "another": tls_server(other),
    }
    with servers[behind] as port, LyingProxy(OK, port) as proxy:
        way = through(proxy, server.certificate)
        *_, last = probe.steps(way, pair, 1.8e9)
        assert not probe.reaches(way, pair, 1.8e9)
    found = last.error
    assert found is not None
    assert (found.code, found.exit_status) == ("proxy-tls-broken", Exit.UNREACHABLE)
    assert (
        f"The proxy {way.proxy_address} says that it is connected to localhost:8883" in found.title
    )
    assert words in found.title


def test_a_server_that_wants_a_certificate_is_there_behind_a_proxy_too(tmp_path: Path) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    with (
        refusing_server(server, ssl.TLSVersion.TLSv1_2, "alert") as port,
        LyingProxy(OK, port) as proxy,
    ):
        *_, last = probe.steps(through(proxy, server.certificate), None, 1.8e9)
    found = last.error
    assert found is not None
    assert found.code == probe.TLS_REFUSED
    assert "ALERT" in found.title
