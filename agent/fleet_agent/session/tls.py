"""TLS and the proxy as awscrt takes them. With ``session.mqtt`` the importer of the SDK."""

import os
from pathlib import Path
from typing import Any

from awscrt import io

from fleet_agent.credentials.model import HardwareKey, KeyPair
from fleet_agent.errors import AgentError, DeviceError, UnreachableError
from fleet_agent.session.route import ALPN, ALPN_PORT, Route


def context(route: Route, pair: KeyPair) -> io.ClientTlsContext:
    """What a connection is opened with.

    Raises:
        DeviceError: Certificate, key or CA cannot be loaded.
        UnreachableError: The token that has the key is not there now.
    """
    try:
        options = _options(pair)
        if route.port == ALPN_PORT:
            options.alpn_list = [ALPN]
        if route.ca_file is not None:
            # awscrt would load these first, 6 ms, and then put the CA in their place.
            os.environ.pop("SSL_CERT_FILE", None)
            os.environ.pop("SSL_CERT_DIR", None)
            options.override_default_trust_store(_read_ca(route.ca_file))
        return io.ClientTlsContext(options)
    except AgentError:
        raise
    except Exception as error:
        from fleet_agent.session import diagnosis

        words = (
            f"{getattr(error, 'name', type(error).__name__)}: {getattr(error, 'message', error)}"
        )
        raise diagnosis.why_no_context(route, pair, words.rstrip(".")) from error


def proxy(route: Route) -> Any:  # noqa: ANN401 - awscrt has no types
    """The proxy's options, None without one."""
    if route.proxy is None:
        return None
    from urllib.parse import unquote, urlsplit

    from awscrt import http

    parts = urlsplit(route.proxy)
    options = http.HttpProxyOptions(host_name=parts.hostname, port=parts.port)
    options.connection_type = http.HttpProxyConnectionType.Tunneling
    if parts.username:
        options.auth_type = http.HttpProxyAuthenticationType.Basic
        options.auth_username = unquote(parts.username)
        options.auth_password = unquote(parts.password or "")
    return options


def _options(pair: KeyPair) -> io.TlsContextOptions:
    key = pair.private_key
    if not isinstance(key, HardwareKey):
        return io.TlsContextOptions.create_client_with_mtls(
            pair.certificate.encode(), key.reveal().encode()
        )
    from fleet_agent.credentials.hsm import keys as hsm

    try:
        pin = hsm.check(key)
    except DeviceError as error:
        if error.code not in hsm.MAY_COME_BACK:
            raise
        raise UnreachableError(error.title, remedy=error.remedy, code=error.code) from error
    return io.TlsContextOptions.create_client_with_mtls_pkcs11(
        pkcs11_lib=_module(key.token.module),
        user_pin=pin,
        token_label=key.token.label,
        private_key_label=key.label,
        cert_file_contents=pair.certificate,
    )


_modules: dict[str, io.Pkcs11Lib] = {}


def _module(path: str) -> io.Pkcs11Lib:
    """The module for the SDK, once in a process; ``credentials.hsm.cryptoki`` has initialised it and nobody ends it."""
    if path not in _modules:
        omit = io.Pkcs11Lib.InitializeFinalizeBehavior.OMIT
        _modules[path] = io.Pkcs11Lib(file=path, behavior=omit)
    return _modules[path]


def _read_ca(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise DeviceError(
            f"Cannot read the CA file {name}: {error.strerror}.",
            remedy="Give the server's CA with --ca-file or ca_file; AWS IoT's is AmazonRootCA1.pem.",
            code="ca-unreadable",
        ) from error
