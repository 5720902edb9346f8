"""The steps to AWS IoT, and what is read off a server's certificate without a parser."""

import datetime as dt
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import NameOID

from fleet_agent.credentials.model import HardwareKey, HardwareToken, KeyPair, Secret
from fleet_agent.errors import (
    CERTIFICATE_REFUSED,
    CONNECT_UNANSWERED,
    DATES,
    SERVER_UNTRUSTED,
    AgentError,
    Exit,
)
from fleet_agent.session import issuer as issuers
from fleet_agent.session import probe
from fleet_agent.session.probe import Stage
from fleet_agent.session.route import ALPN, Route
from support.certificates import TOMORROW, YESTERDAY, loaded, make_certificate, make_pair
from support.csr import key_pem, make_key
from support.fleets import Claim
from support.tls import (
    deaf_server,
    dripping_server,
    free_port,
    plain_server,
    refusing_server,
    tls_server,
)


def route(port: int, ca_file: Path) -> Route:
    return Route(host="localhost", port=port, ca_file=str(ca_file), proxy=None)


def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "ALERT_LIMIT", 0.05)
    server = make_pair(tmp_path / "server", name="localhost")
    with tls_server(server) as port:
        steps = list(probe.steps(route(port, server.certificate), None, time.time()))
    assert [step.stage for step in steps] == [Stage.NAME, Stage.PORT, Stage.TLS]
    assert all(step.error is None for step in steps)
    name, answers, secured = (step.seen for step in steps)
    assert name.startswith("localhost has the address ")
    assert "127.0.0.1" in name
    assert answers == f"TCP {port} answers."
    assert secured == f"TLSv1.3: chain and name of localhost:{port} are right."


def test_it_ends_with_the_first_failure(tmp_path: Path) -> None:
    steps = list(probe.steps(route(free_port(), tmp_path / "ca.pem"), None, time.time()))
    assert [step.stage for step in steps] == [Stage.NAME, Stage.PORT]
    assert steps[-1].error is not None
    assert steps[-1].error.code == "endpoint-unreachable"


def failure(route_there: Route, pair: KeyPair | None = None, now: float = 1.8e9) -> AgentError:
    """What the way ends with."""
    *fine, last = probe.steps(route_there, pair, now)
    assert all(step.error is None for step in fine)
    assert last.error is not None
    return last.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError("no resolver"), "no resolver"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
def test_a_name_that_does_not_resolve(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    found = failure(Route(host="a.example", port=8883, ca_file=None, proxy=None))
    assert found.title == f"The endpoint a.example does not resolve: {words}."
    assert found.code == "endpoint-unknown"


def test_a_port_that_nobody_opens_is_not_waited_for_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEP_LIMIT", 0.05)
    with deaf_server() as port:
        found = failure(route(port, tmp_path / "ca.pem"))
    assert (found.code, "timed out" in found.title) == ("endpoint-unreachable", True)


def test_a_key_in_a_token_that_cannot_be_used_is_found_first(tmp_path: Path) -> None:
    token = HardwareToken(
        module=str(tmp_path / "none.so"), label="t", pin_file="/pin", state_dir=str(tmp_path)
    )
    pair = KeyPair(
        certificate="", private_key=HardwareKey(token=token, label="device"),
        certificate_file="c", private_key_file="k",
    )  # fmt: skip
    (step,) = probe.steps(route(1, tmp_path / "ca.pem"), pair, 1.8e9)
    assert (step.stage, step.error and step.error.code) == (Stage.KEY, "module-missing")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    with tls_server(server) as port:
        found = failure(route(port, ca_file))
    assert (found.code, found.exit_status) == ("ca-unreadable", Exit.WRONG_ON_DEVICE)
    assert str(ca_file) in found.title


@pytest.mark.parametrize(("port", "is_asked"), [(443, True), (8883, False)])
def test_mqtt_is_asked_for_on_port_443(port: int, is_asked: bool) -> None:
    context = probe._context(Route(host="a.example", port=port, ca_file=None, proxy=None))
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    assert (ALPN.encode() in outgoing.read()) is is_asked


def test_another_service_says_nothing_of_the_certificate(tmp_path: Path) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(make_pair(tmp_path / "device"))
    with plain_server(b"") as port:
        route_there = route(port, server.certificate)
        found = failure(route_there, pair)
        assert probe.first_failure(route_there, pair, 1.8e9) is None
    assert found.code == probe.TLS_REFUSED
    assert f"No TLS with localhost:{port}: " in found.title


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"]
)
def test_a_service_without_tls_is_called_that(tmp_path: Path, answer: bytes) -> None:
    """awscrt has no other words for it than that the socket was closed."""
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(make_pair(tmp_path / "device"))
    with plain_server(answer) as port:
        found = probe.first_failure(route(port, server.certificate), pair, 1.8e9)
    assert found is not None
    assert (found.code, found.exit_status) == ("endpoint-no-tls", Exit.UNREACHABLE)
    assert found.title == f"Whatever answers at localhost:{port} does not speak TLS."


@pytest.mark.parametrize(
    ("dates", "words"),
    [({"valid_to": YESTERDAY}, "expired"), ({"valid_from": TOMORROW}, "not yet valid")],
)
def test_dates_that_do_not_fit_may_be_the_clocks_doing(
    tmp_path: Path, dates: Any, words: str
) -> None:
    server = make_pair(tmp_path / "server", name="localhost", **dates)
    pair = loaded(make_pair(tmp_path / "device"))
    with tls_server(server) as port:
        route_there = route(port, server.certificate)
        found = failure(route_there, pair)
        assert not probe.reaches(route_there, pair, 1.8e9)
    assert (found.code, found.exit_status) == (DATES, Exit.UNREACHABLE)
    assert f"of localhost:{port} looks {words}: this device's clock says 2027-" in found.title


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
    issued = f'"{common_name.value!s}"'
    assert f"localhost:{port}" in error.title
    if name == "localhost":
        assert "cannot be verified with" in error.title
        assert error.title.endswith(f"; the CA {issued} is missing.")
    else:
        assert "is not for that name: Hostname mismatch" in error.title
        assert f"'localhost' (issued by {issued}, trusted by the CA in " in error.title


@pytest.mark.parametrize("then", ["gone", "silent"])
def test_an_issuer_that_cannot_be_seen_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    monkeypatch.setattr(issuers, "LIMIT", 0.05)
    server = make_pair(tmp_path / "server", name="localhost")
    with tls_server(server, then=then) as port:
        found = failure(route(port, make_pair(tmp_path / "other").certificate))
    assert re.search(
        r"localhost:\d+ cannot be verified with the CA in .*: self.signed certificate\.$",
        found.title,
    )


def test_the_issuer_is_that_of_the_topmost_certificate_under_the_endpoints_name(
    tmp_path: Path,
) -> None:
    """AWS's server shows the certificates of the endpoint that is named, and those of CAs between."""
    between, key = make_key(), make_key()
    leaf = make_certificate(between, name="localhost", public_key=key.public_key(), issuer="mid")
    middle = make_certificate(
        make_key(), name="mid", public_key=between.public_key(), issuer="top"
    )
    server = Claim("", tmp_path / "chain.pem", tmp_path / "key.pem")
    server.certificate.write_text(leaf + middle)
    server.private_key.write_bytes(key_pem(key))
    names: list[str | None] = []
    with tls_server(server, names) as port:
        found = failure(route(port, make_pair(tmp_path / "other").certificate))
    # Python before 3.13 shows the first alone.
    topmost = "top" if hasattr(ssl.SSLSocket, "get_unverified_chain") else "mid"
    assert found.title.endswith(f'; the CA "{topmost}" is missing.')
    assert names == ["localhost", "localhost"]


@pytest.mark.parametrize(
    ("names", "issuer"),
    [
        ({NameOID.COMMON_NAME: "Root CA 1"}, '"Root CA 1"'),
        ({NameOID.COMMON_NAME: "0123456789"}, '"0123456789"'),  # a line feed's length
        ({NameOID.COMMON_NAME: "C" * 64}, f'"{"C" * 64}"'),
        ({NameOID.ORGANIZATION_NAME: "Amazon", NameOID.COMMON_NAME: "Root"}, '"Root"'),
        ({NameOID.COUNTRY_NAME: "US", NameOID.ORGANIZATION_NAME: "Amazon"}, '"Amazon"'),
        ({NameOID.ORGANIZATIONAL_UNIT_NAME: "Unit"}, '"Unit"'),
        ({NameOID.COUNTRY_NAME: "US"}, ""),
    ],
)
@pytest.mark.parametrize("year", [2020, 2060])  # a date of two forms
def test_an_issuer_is_read_off(
    names: dict[x509.ObjectIdentifier, str], issuer: str, year: int
) -> None:
    name = x509.Name([x509.NameAttribute(*each) for each in names.items()])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "not this one")])
    key = make_key()
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(year, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
        .sign(key, hashes.SHA256())
    )
    assert issuers.issuer_of(certificate.public_bytes(serialization.Encoding.DER)) == issuer


@pytest.mark.parametrize(
    "certificate", [b"", b"\x30\x03\x06\x03\x55", b"\x06\x03\x55\x04\x03\x0c\xff"]
)
def test_an_issuer_that_cannot_be_read_off(certificate: bytes) -> None:
    assert issuers.issuer_of(certificate) in ("", '""')


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


def no_thread(thread: threading.Thread) -> None:
    # What a resolver still does must not keep the process from ending.
    assert thread.daemon
    raise RuntimeError("can't start new thread")


def test_a_look_takes_no_longer_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LIMIT", 0.05)
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(server)
    with dripping_server(pause=0.02) as port:
        begin = time.monotonic()
        assert probe.first_failure(route(port, server.certificate), pair, 1.8e9) is None
        assert time.monotonic() - begin < probe.STEP_LIMIT


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_that_cannot_be_loaded_was_not_refused(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(make_pair(tmp_path / "device"))
    Path(pair.private_key_file).unlink()
    with refusing_server(server, version, "alert") as port:
        assert probe.first_failure(route(port, server.certificate), pair, 1.8e9) is None


def test_what_a_token_has_python_cannot_show_so_that_nothing_is_refused(
    tmp_path: Path, hidden: KeyPair
) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    with refusing_server(server, ssl.TLSVersion.TLSv1_2, "alert") as port:
        found = failure(route(port, server.certificate), hidden)
    assert found.code == probe.TLS_REFUSED


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("ending", ["alert", "end", "reset"])
def test_a_certificate_is_refused_at_whatever_moment_the_server_ends_it(
    tmp_path: Path, version: ssl.TLSVersion, ending: str
) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(make_pair(tmp_path / "device"))
    with refusing_server(server, version, ending) as port:
        route_there = route(port, server.certificate)
        error = probe.first_failure(route_there, pair, time.time())
        assert probe.reaches(route_there, pair, time.time())
    assert error is not None
    assert error.exit_status == Exit.REFUSED
    assert error.code == (CERTIFICATE_REFUSED if ending == "alert" else CONNECT_UNANSWERED)
    assert pair.certificate_file in error.title
    assert ("alert" in error.title) is (ending == "alert")
    assert "unknown in the account" in error.remedy


def test_a_server_that_has_not_shown_itself_refuses_nothing(tmp_path: Path) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    pair = loaded(make_pair(tmp_path / "device"))
    with refusing_server(server, ssl.TLSVersion.TLSv1_3, "early") as port:
        route_there = route(port, server.certificate)
        assert probe.first_failure(route_there, pair, time.time()) is None
        assert not probe.reaches(route_there, pair, time.time())


def test_a_server_that_sends_a_byte_now_and_then_is_not_heard_for_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "STEP_LIMIT", 0.5)
    ca_file = make_pair(tmp_path / "server").certificate
    with dripping_server(pause=0.1) as port:
        begin = time.monotonic()
        last = list(probe.steps(route(port, ca_file), None, time.time()))[-1]
        assert time.monotonic() - begin < 3
    assert last.error is not None
    assert (last.stage, last.error.code) == (Stage.TLS, probe.TLS_REFUSED)
    assert last.error.title == f"No TLS with localhost:{port}: timed out."
