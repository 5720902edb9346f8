"""TLS and the proxy as awscrt takes them."""

import os
import re
from typing import Any

from fleet_agent.credentials.model import HardwareKey, KeyPair
from fleet_agent.errors import PAIR_UNUSABLE, AgentError, DeviceError, UnreachableError
from fleet_agent.session import sdk
from fleet_agent.session.route import GIVE_CA, Route, ca_file


def context(route: Route, pair: KeyPair | None) -> "sdk.io.ClientTlsContext":
    """Returns the TLS context of a connection.

    Raises:
        DeviceError: Certificate, key or CA cannot be loaded.
        UnreachableError: The hardware token that has the key is not there now.
    """
    try:
        options = sdk.io.TlsContextOptions() if pair is None else _options(pair)
        # The SDK's own default offers 1.0.
        options.min_tls_ver = sdk.io.TlsVersion.TLSv1_2
        if route.alpn:
            options.alpn_list = [route.alpn]
        if route.ca_file is not None:
            # awscrt would load these first, 6 ms, and then put the CA in their place.
            os.environ.pop("SSL_CERT_FILE", None)
            os.environ.pop("SSL_CERT_DIR", None)
            options.override_default_trust_store(_read_ca(route.ca_file))
        return sdk.io.ClientTlsContext(options)
    except AgentError:
        raise
    except Exception as error:
        words = (
            f"{getattr(error, 'name', type(error).__name__)}: {getattr(error, 'message', error)}"
        )
        raise _why_not(route, pair, words.rstrip(".")) from error


def proxy(route: Route) -> Any:  # noqa: ANN401 - awscrt has no types
    """The proxy's options, None without one."""
    if route.proxy is None:
        return None
    from urllib.parse import unquote

    parts = route.proxy_parts
    options = sdk.http.HttpProxyOptions(host_name=parts.hostname, port=parts.port)
    options.connection_type = sdk.http.HttpProxyConnectionType.Tunneling
    if parts.username:
        options.auth_type = sdk.http.HttpProxyAuthenticationType.Basic
        options.auth_username = unquote(parts.username)
        options.auth_password = unquote(parts.password or "")
    return options


def _why_not(route: Route, pair: KeyPair | None, error: str) -> AgentError:
    """The error that names the file which keeps TLS from being set up; awscrt reports only that it failed."""
    from fleet_agent.credentials import certificates

    try:
        if pair is not None:
            certificates.check_pair(pair)
    except AgentError as found:
        return found
    if pair is None or not _takes_ca(route):
        return _ca_fault(str(route.ca_file))
    try:
        certificates.check_kind(pair)
    except AgentError as found:
        # That of an issued certificate came over the network, which ends no daemon.
        found.code = PAIR_UNUSABLE
        return found
    remedy = (
        "Does only one hardware token have that label? pkcs11-tool --module MODULE --list-token-slots"
        if isinstance(pair.private_key, HardwareKey)
        else "Is it a key only for RSA-PSS? If not, write both files again: openssl pkey -in KEY -out new.key; "
        "openssl x509 -in CERTIFICATE -out new.crt"
    )
    return DeviceError(
        f"TLS cannot use the key in {pair.private_key_file} with the certificate in {pair.certificate_file}: {error}.",
        remedy=remedy,
        code=PAIR_UNUSABLE,
    )


def _takes_ca(route: Route) -> bool:
    """Whether it is not the CA: tried without the certificate and the key."""
    options = sdk.io.TlsContextOptions()
    try:
        if route.ca_file is not None:
            options.override_default_trust_store(_read_ca(route.ca_file))
        sdk.io.ClientTlsContext(options)
    except AgentError:
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it is about the CA
        return False
    return True


def _options(pair: KeyPair) -> "sdk.io.TlsContextOptions":
    key = pair.private_key
    if not isinstance(key, HardwareKey):
        return sdk.io.TlsContextOptions.create_client_with_mtls(
            _blocks(pair.certificate, "CERTIFICATE"), _blocks(key.reveal(), "PRIVATE KEY")
        )
    from fleet_agent.credentials.hardware_token import keys as hardware_keys

    try:
        pin = hardware_keys.check(key)
    except DeviceError as error:
        if error.code not in hardware_keys.MAY_COME_BACK:
            raise
        raise UnreachableError(error.title, remedy=error.remedy, code=error.code) from error
    return sdk.io.TlsContextOptions.create_client_with_mtls_pkcs11(
        pkcs11_lib=_module(key.token.module),
        user_pin=pin,
        token_label=key.token.label,
        private_key_label=key.label,
        cert_file_contents=pair.certificate,
    )


def _blocks(text: str, kind: str) -> bytes:
    """The PEM blocks of one kind: awscrt stumbles over others beside them, and over an older name of a certificate's.

    The whole text where there is none: what awscrt then says is looked into.
    """
    text = text.replace(" X509 CERTIFICATE-----", " CERTIFICATE-----")
    label = rf"(?:[A-Z0-9]+ )*{kind}"
    found = re.findall(rf"-----BEGIN ({label})-----(.*?)-----END \1-----", text, re.DOTALL)
    blocks = [f"-----BEGIN {name}-----{body}-----END {name}-----\n" for name, body in found]
    return ("".join(blocks) or text).encode()


_modules: "dict[str, sdk.io.Pkcs11Lib]" = {}


def _module(path: str) -> "sdk.io.Pkcs11Lib":
    """The SDK's handle on the module, once in a process; ``cryptoki`` has initialised it, and it is never finalised."""
    if path not in _modules:
        omit = sdk.io.Pkcs11Lib.InitializeFinalizeBehavior.OMIT
        _modules[path] = sdk.io.Pkcs11Lib(file=path, behavior=omit)
    return _modules[path]


def _read_ca(name: str) -> bytes:
    """The certificates of a CA file; what awscrt says of one without any is looked into."""
    return _blocks(ca_file(name).decode("ascii", "replace"), "CERTIFICATE")


def _ca_fault(name: str) -> AgentError:
    from fleet_agent.credentials import certificates

    try:
        certificates.read_ca(ca_file(name), name)
    except AgentError as found:
        return found
    return DeviceError(
        f"TLS accepts no certificate in the CA file {name}.", remedy=GIVE_CA, code="ca-invalid"
    )
