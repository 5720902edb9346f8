"""Certificates and keys as files hold them: used, or named for what keeps them from it."""

import dataclasses
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from awscrt import http, io
from awscrt.exceptions import AwsCrtError
from cryptography.hazmat.primitives.asymmetric import ed25519

from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import PAIR_UNUSABLE, AgentError, DeviceError, UnreachableError
from fleet_agent.session import tls
from fleet_agent.session.route import ALPN, Route
from support.certificates import make_certificate, make_pair
from support.csr import key_pem, make_key
from support.softhsm import PIN, TOKEN


def route(ca_file: str | None = None) -> Route:
    return Route(host="localhost", port=8883, ca_file=ca_file, proxy=None)


def key_of(pair: KeyPair) -> str:
    assert isinstance(pair.private_key, Secret)
    return pair.private_key.reveal()


def test_one_file_for_both_and_a_chain(pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[bytes, bytes]] = []
    make = io.TlsContextOptions.create_client_with_mtls

    def note(certificate: bytes, key: bytes) -> io.TlsContextOptions:
        given.append((certificate, key))
        return make(certificate, key)

    monkeypatch.setattr(io.TlsContextOptions, "create_client_with_mtls", note)
    both = f"remark\n{pair.certificate}{key_of(pair)}and {pair.certificate}"
    tls.context(route(), dataclasses.replace(pair, certificate=both, private_key=Secret(both)))
    # The SDK stumbles over what does not belong there.
    assert given == [((pair.certificate * 2).encode(), key_of(pair).encode())]


def test_an_older_name_for_a_certificate(pair: KeyPair) -> None:
    older = pair.certificate.replace(" CERTIFICATE-----", " X509 CERTIFICATE-----")
    tls.context(route(), dataclasses.replace(pair, certificate=older))


def test_a_certificate_without_its_key_is_named(pair: KeyPair) -> None:
    other = Secret(key_pem(make_key()).decode())
    with pytest.raises(DeviceError, match="does not belong to the certificate") as caught:
        tls.context(route(), dataclasses.replace(pair, private_key=other))
    assert caught.value.code == "key-mismatch"


def own_ca(folder: Path) -> str:
    return str(make_pair(folder / "authority").certificate)


@pytest.mark.parametrize("has_ca", [True, False])
def test_a_key_that_tls_cannot_use_is_no_fault_of_the_ca(
    pair: KeyPair, tmp_path: Path, has_ca: bool
) -> None:
    key: Any = ed25519.Ed25519PrivateKey.generate()
    files = {"certificate": make_certificate(make_key(), public_key=key.public_key())}
    odd = dataclasses.replace(pair, **files, private_key=Secret(key_pem(key).decode()))
    with pytest.raises(DeviceError) as caught:
        tls.context(route(own_ca(tmp_path) if has_ca else None), odd)
    assert caught.value.code == PAIR_UNUSABLE
    assert pair.certificate_file in caught.value.title
    assert "neither RSA nor EC" in caught.value.title


class SdkError(Exception):
    name = "AWS_X"
    message = "no UNIX."


@pytest.mark.parametrize("is_in_token", [True, False])
def test_the_sdks_words_and_what_may_be_wrong_with_the_key(
    pair: KeyPair, hidden: KeyPair, monkeypatch: pytest.MonkeyPatch, is_in_token: bool
) -> None:
    outcomes = [SdkError(), None]

    def make(_: io.TlsContextOptions) -> None:
        if error := outcomes.pop(0):
            raise error

    monkeypatch.setattr(io, "ClientTlsContext", make)
    with pytest.raises(DeviceError, match=r": AWS_X: no UNIX\.$") as caught:
        tls.context(route(), hidden if is_in_token else pair)
    assert caught.value.code == PAIR_UNUSABLE
    assert ("only one hardware token" in caught.value.remedy) is is_in_token


def test_with_a_ca_of_its_own_the_machines_are_not_loaded_first(
    pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (pair, None):
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.setenv(name, "/nowhere")
        tls.context(route(own_ca(tmp_path)), each)
        assert not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys()
    # There is nothing to take out of the environment any more.
    tls.context(route(own_ca(tmp_path)), pair)


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.parametrize(("content", "code"), [("nothing", "ca-invalid"), (None, "ca-unreadable")])
def test_a_ca_file_that_is_none_is_blamed_itself(
    pair: KeyPair, tmp_path: Path, content: str | None, code: str, is_shown: bool
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    with pytest.raises(DeviceError) as caught:
        tls.context(route(str(ca_file)), pair if is_shown else None)
    assert caught.value.code == code
    assert str(ca_file) in caught.value.title


def test_of_a_ca_file_its_certificates_are_taken(pair: KeyPair, tmp_path: Path) -> None:
    ca_file = Path(own_ca(tmp_path))
    older = ca_file.read_text().replace(" CERTIFICATE-----", " X509 CERTIFICATE-----")
    beside = f"\ufeffsubject=CN=ca\n{older}{key_of(pair)}-----BEGIN CERTIFICATE-----\nMII"
    ca_file.write_text(beside.replace("\n", "\r\n"))
    tls.context(route(str(ca_file)), pair)


@pytest.mark.parametrize(
    ("form", "words", "remedy"),
    [
        (" TRUSTED CERTIFICATE-----", "contains a TRUSTED CERTIFICATE", "openssl x509 -in"),
        (" PKCS7-----", "contains a PKCS7", "openssl pkcs7 -print_certs -in"),
        (" CERTIFICATE-----\nAAAA", "Certificate 1 in", "Download the CA file again"),
    ],
)
def test_a_ca_in_another_form_is_named_with_what_to_type(
    pair: KeyPair, tmp_path: Path, form: str, words: str, remedy: str
) -> None:
    ca_file = Path(own_ca(tmp_path))
    ca_file.write_text(ca_file.read_text().replace(" CERTIFICATE-----", form))
    with pytest.raises(DeviceError) as caught:
        tls.context(route(str(ca_file)), pair)
    assert (caught.value.code, words in caught.value.title) == ("ca-invalid", True)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("user", "name", "password"),
    [("", None, None), ("o%40tto:p%3Aw@", "o@tto", "p:w"), ("otto@", "otto", "")],
)
def test_the_sdk_asks_the_proxy_for_a_tunnel_with_user_and_password(
    user: str, name: str | None, password: str | None
) -> None:
    found = tls.proxy(dataclasses.replace(route(), proxy=f"http://{user}proxy.example:3128"))
    assert (found.host_name, found.port) == ("proxy.example", 3128)
    assert found.connection_type == http.HttpProxyConnectionType.Tunneling
    kinds = http.HttpProxyAuthenticationType
    assert found.auth_type == (kinds.Basic if name else kinds.Nothing)
    assert (found.auth_username, found.auth_password) == (name, password)


def said(context: io.ClientTlsContext) -> dict[int, bytes]:
    """The extensions of the ClientHello that opens a connection with it (RFC 8446, 4.2)."""
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
    at = 38
    at += 1 + hello[at]  # the session's id
    at += 2 + int.from_bytes(hello[at : at + 2])  # ciphers
    at += 1 + hello[at] + 2  # compression, and how long they are
    found = {}
    while at < size:
        kind, length = struct.unpack_from(">HH", hello, at)
        found[kind] = hello[at + 4 : at + 4 + length]
        at += 4 + length
    return found


@pytest.mark.parametrize("port", [8883, 443])
def test_nothing_below_tls_1_2_is_offered_and_mqtt_asked_for_on_port_443(
    pair: KeyPair, port: int
) -> None:
    found = said(tls.context(dataclasses.replace(route(), port=port), pair))
    count, *versions = found[43]
    assert bytes(versions) in (b"\x03\x04\x03\x03", b"\x03\x03\x03\x04")
    assert count == len(versions)
    name = ALPN.encode()
    asked_for = struct.pack(">HB", len(name) + 1, len(name)) + name
    assert found.get(16) == (asked_for if port == 443 else None)


# A key in a token -----------------------------------------------------------------------------------------------------


def test_a_key_in_a_token_is_used_again_and_again(hidden: KeyPair, tmp_path: Path) -> None:
    for ca_file in (None, own_ca(tmp_path)):
        assert isinstance(tls.context(route(ca_file), hidden), io.ClientTlsContext)


def test_what_the_sdk_is_told_of_a_token(hidden: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[dict[str, Any]] = []
    make = io.TlsContextOptions.create_client_with_mtls_pkcs11

    def note(**given: Any) -> io.TlsContextOptions:
        reported.append(given)
        return make(**given)

    monkeypatch.setattr(io.TlsContextOptions, "create_client_with_mtls_pkcs11", note)
    for _ in range(2):
        tls.context(route(), hidden)
    one, two = reported
    # Its module is initialised once, by whoever looked into the token first.
    assert one["pkcs11_lib"] is two["pkcs11_lib"]
    del one["pkcs11_lib"]
    assert one == {
        "user_pin": PIN, "token_label": TOKEN, "private_key_label": "tls",
        "cert_file_contents": hidden.certificate,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code", "kind"),
    [
        ({"token": "another"}, "hardware-token-missing", UnreachableError),
        ({"key": "another"}, "hardware-token-key-missing", DeviceError),
    ],
)
def test_a_token_may_be_plugged_in_again_and_a_key_in_it_does_not_come_back(
    hidden: KeyPair, change: dict[str, str], code: str, kind: type[AgentError]
) -> None:
    key: Any = hidden.private_key
    place = dataclasses.replace(key.token, label=change.get("token", TOKEN))
    key = dataclasses.replace(key, token=place, label=change.get("key", key.label))
    with pytest.raises(AgentError) as caught:
        tls.context(route(), dataclasses.replace(hidden, private_key=key))
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert "'another'" in caught.value.title
    assert caught.value.remedy
