"""Certificates and keys as files hold them: used, or named for what keeps them from it."""

import dataclasses
import socket
import struct
from pathlib import Path

import pytest
from awscrt import http, io
from awscrt.exceptions import AwsCrtError

from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import DeviceError
from fleet_agent.session import tls
from fleet_agent.session.route import Route
from support.certificates import make_pair


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    made = make_pair(tmp_path / "pair")
    return KeyPair(
        certificate=made.certificate.read_text(),
        private_key=Secret(made.private_key.read_text()),
        certificate_file=str(made.certificate),
        private_key_file=str(made.private_key),
    )


def route(ca_file: str | None = None) -> Route:
    return Route(host="localhost", port=8883, ca_file=ca_file, proxy=None)


def key_of(pair: KeyPair) -> str:
    assert isinstance(pair.private_key, Secret)
    return pair.private_key.reveal()


def test_one_file_for_both(pair: KeyPair) -> None:
    both = f"remark\n{pair.certificate}{key_of(pair)}"
    tls.context(route(), dataclasses.replace(pair, certificate=both, private_key=Secret(both)))


def test_an_older_name_for_a_certificate(pair: KeyPair) -> None:
    older = pair.certificate.replace(" CERTIFICATE-----", " X509 CERTIFICATE-----")
    tls.context(route(), dataclasses.replace(pair, certificate=older))


def test_a_chain(pair: KeyPair) -> None:
    tls.context(route(), dataclasses.replace(pair, certificate=pair.certificate * 2))


def test_a_ca_file_that_is_none_is_blamed_itself(pair: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(DeviceError) as caught:
        tls.context(route(str(tmp_path / "ca.pem")), pair)
    assert caught.value.code == "ca-invalid"
    assert str(tmp_path / "ca.pem") in caught.value.title


def offered(context: io.ClientTlsContext) -> set[int]:
    """The versions in the ClientHello that opens a connection with it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bootstrap = io.ClientBootstrap.get_or_create_static_default()
        port = listener.getsockname()[1]
        options = context.new_connection_options()
        asked = http.HttpClientConnection.new(
            "127.0.0.1", port, bootstrap=bootstrap, tls_connection_options=options
        )
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            _, _, size = struct.unpack(">BHH", stream.read(5))
            hello = stream.read(size)
        with pytest.raises(AwsCrtError):
            asked.result(10)
    found = hello.index(bytes.fromhex("002b"), 38)  # supported_versions, RFC 8446 4.2.1
    count = hello[found + 4] // 2
    return set(struct.unpack_from(f">{count}H", hello, found + 5))


def test_nothing_below_tls_1_2_is_offered(pair: KeyPair) -> None:
    assert offered(tls.context(route(), pair)) == {0x0303, 0x0304}
