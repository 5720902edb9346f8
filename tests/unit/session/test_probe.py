"""The steps to AWS IoT, and what is read off a server's certificate without a parser."""

import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509

from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import (
    CERTIFICATE_REFUSED,
    CONNECT_UNANSWERED,
    SERVER_UNTRUSTED,
    Exit,
)
from fleet_agent.session import probe
from fleet_agent.session.probe import Stage
from fleet_agent.session.route import Route
from support.certificates import make_pair
from support.fleets import Claim
from support.tls import dripping_server, free_port, refusing_server, tls_server


def route(port: int, ca_file: Path) -> Route:
    return Route(host="localhost", port=port, ca_file=str(ca_file), proxy=None)


def test_the_whole_way(tmp_path: Path) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    with tls_server(server) as port:
        steps = list(probe.steps(route(port, server.certificate), None, time.time()))
    assert [step.stage for step in steps] == [Stage.NAME, Stage.PORT, Stage.TLS]
    assert all(step.error is None and step.seen for step in steps)


def test_it_ends_with_the_first_failure(tmp_path: Path) -> None:
    steps = list(probe.steps(route(free_port(), tmp_path / "ca.pem"), None, time.time()))
    assert [step.stage for step in steps] == [Stage.NAME, Stage.PORT]
    assert steps[-1].error is not None
    assert steps[-1].error.code == "endpoint-unreachable"


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
def test_a_server_that_is_not_trusted_is_named_with_ca_file_and_issuer(
    tmp_path: Path, name: str
) -> None:
    server = make_pair(tmp_path / "server", name=name)
    other = make_pair(tmp_path / "other").certificate
    ca_file = other if name == "localhost" else server.certificate
    with tls_server(server) as port:
        error = list(probe.steps(route(port, ca_file), None, time.time()))[-1].error
    assert error is not None
    assert (error.code, error.exit_status) == (SERVER_UNTRUSTED, Exit.UNREACHABLE)
    assert str(ca_file) in error.title
    issuer = x509.load_pem_x509_certificate(server.certificate.read_bytes()).issuer
    (common_name,) = issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert f'"{common_name.value!s}"' in error.title


@pytest.mark.parametrize(
    "certificate", [b"", b"\x30\x03\x06\x03\x55", b"\x06\x03\x55\x04\x03\x0c\xff"]
)
def test_an_issuer_that_cannot_be_read_off(certificate: bytes) -> None:
    assert probe.issuer_of(certificate) in ("", '""')


def test_a_name_that_cannot_be_one_does_not_resolve() -> None:
    given = Route(host=f"{'a' * 64}.example.com", port=8883, ca_file=None, proxy=None)
    (last,) = probe.steps(given, None, 0.0)
    assert last.error is not None
    assert last.error.code == "endpoint-unknown"


def test_without_a_thread_left_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the way is no reason to end: the unit's TasksMax= may be reached."""
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    given = Route(host="localhost", port=1, ca_file=None, proxy=None)
    pair = KeyPair(
        certificate="", private_key=Secret(""), certificate_file="", private_key_file=""
    )
    assert probe.first_failure(given, pair, 0.0) is None
    assert not probe.reaches(given, pair, 0.0)


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("ending", ["alert", "end", "reset"])
def test_a_certificate_is_refused_at_whatever_moment_the_server_ends_it(
    tmp_path: Path, version: ssl.TLSVersion, ending: str
) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(make_pair(tmp_path / "device"))
    with refusing_server(server, version, ending) as port:
        way = route(port, server.certificate)
        error = probe.first_failure(way, pair, time.time())
        assert probe.reaches(way, pair, time.time())
    assert error is not None
    assert error.exit_status == Exit.REFUSED
    assert error.code == (CERTIFICATE_REFUSED if ending == "alert" else CONNECT_UNANSWERED)
    assert pair.certificate_file in error.title
    assert "unknown in the account" in error.remedy


def test_a_server_that_has_not_shown_itself_refuses_nothing(tmp_path: Path) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(make_pair(tmp_path / "device"))
    with refusing_server(server, ssl.TLSVersion.TLSv1_3, "early") as port:
        way = route(port, server.certificate)
        assert probe.first_failure(way, pair, time.time()) is None
        assert not probe.reaches(way, pair, time.time())


def test_a_server_that_sends_a_byte_now_and_then_is_not_heard_for_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEP_LIMIT", 0.5)
    ca_file = make_pair(tmp_path / "server").certificate
    with dripping_server(pause=0.1) as port:
        begin = time.monotonic()
        last = list(probe.steps(route(port, ca_file), None, time.time()))[-1]
        assert time.monotonic() - begin < 3
    assert (last.stage, last.error and last.error.code) == (Stage.TLS, probe.TLS_REFUSED)


def loaded(pair: Claim) -> KeyPair:
    return KeyPair(
        certificate=pair.certificate.read_text(),
        private_key=Secret(pair.private_key.read_text()),
        certificate_file=str(pair.certificate),
        private_key_file=str(pair.private_key),
    )
