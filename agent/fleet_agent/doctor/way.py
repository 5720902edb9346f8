"""The way to AWS IoT, a step at a time: name, ports, proxy, TLS. With Python's own sockets, which name the cause."""

import contextlib
import socket
import ssl

from fleet_agent.credentials.model import KeyPair
from fleet_agent.doctor.finding import Finding, Findings, Level, Subject
from fleet_agent.errors import AgentError
from fleet_agent.session import proxy
from fleet_agent.session.route import ALPN, ALPN_PORT, Route

_ABOUT = Subject("way to AWS IoT")
_LIMIT = 5.0  # seconds a step
_PORTS = (8883, ALPN_PORT)
_EXPIRED, _NOT_YET_VALID, _WRONG_NAME = 10, 9, 62  # OpenSSL's X509_V_ERR_…
_DESCRIBE = "aws iot describe-endpoint --endpoint-type iot:Data-ATS"


def check(route: Route, pair: KeyPair | None) -> Findings:
    """Go the way as far as it leads.

    Args:
        route: Where to.
        pair: The certificate to show, which a server of AWS's asks for; None: there is none.
    """
    if route.proxy:
        found = list(_proxied(route))
    else:
        found = [*_name(route.host)]
        if not _has_failed(found):
            found += _ports(route)
    yield from found
    if not _has_failed(found):
        yield from _tls(route, pair)


def _has_failed(found: list[Finding]) -> bool:
    return any(one.level is Level.FAILED for one in found)


def _name(host: str) -> Findings:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        yield _ABOUT.failed(
            "name-unknown",
            f"The endpoint {host} does not resolve: {error.strerror}.",
            host,
            f"Check its spelling ({_DESCRIBE}) and DNS (resolvectl query {host}).",
        )
        return
    addresses = sorted({str(one[4][0]) for one in found})
    yield _ABOUT.ok(f"{host} is {', '.join(addresses[:4])}.", host)


def _ports(route: Route) -> Findings:
    for port in sorted({*_PORTS, route.port}, key=lambda one: one != route.port):
        where = f"{route.host}:{port}"
        try:
            socket.create_connection((route.host, port), timeout=_LIMIT).close()
        except OSError as error:
            why = error.strerror or error
            if port == route.port:
                yield _ABOUT.failed(
                    "port-closed",
                    f"{where} does not answer: {why}.",
                    where,
                    "Check the network and the firewall; `port: 443` in the configuration gets through many.",
                )
            else:
                yield _ABOUT.note(
                    "other-port-closed", f"TCP {port} does not answer; it is not used.", where
                )
        else:
            yield _ABOUT.ok(f"TCP {port} answers.", where)


def _proxied(route: Route) -> Findings:
    where = route.proxy_address
    try:
        proxy.tunnel(route, _LIMIT).close()
    except AgentError as error:
        yield from _ABOUT.error(error, where)
    else:
        yield _ABOUT.ok(f"The proxy {where} lets through to {route.host}:{route.port}.", where)


def _connect(route: Route) -> socket.socket:
    if route.proxy:
        return proxy.tunnel(route, _LIMIT)
    return socket.create_connection((route.host, route.port), timeout=_LIMIT)


def _tls(route: Route, pair: KeyPair | None) -> Findings:
    where = f"{route.host}:{route.port}"
    try:
        context = ssl.create_default_context(cafile=route.ca_file)
        _prepare(context, route, pair)
    except OSError as error:
        yield _ABOUT.failed(
            "ca-unreadable",
            f"TLS cannot be set up with CA {route.ca_file or 'of the system'}: {error.strerror or error}.",
            route.ca_file or "",
            "Give AWS IoT's CA, AmazonRootCA1.pem, with ca_file; or apt-get install ca-certificates",
        )
        return
    try:
        with (
            _connect(route) as plain,
            context.wrap_socket(plain, server_hostname=route.host) as secured,
        ):
            yield _ABOUT.ok(f"{secured.version()}: chain and name of {where} are fine.", where)
    except ssl.SSLCertVerificationError as error:
        yield from _not_trusted(route, error)
    except AgentError as error:  # the proxy, this time
        yield from _ABOUT.error(error, where)
    except OSError as error:
        yield _ABOUT.failed(
            "tls-refused",
            f"No TLS with {where}: {getattr(error, 'reason', None) or error.strerror or error}.",
            where,
            "Something on the way may take TLS apart; or it is another service: check endpoint and port.",
        )


def _prepare(context: ssl.SSLContext, route: Route, pair: KeyPair | None) -> None:
    if pair is not None:
        with contextlib.suppress(OSError):  # `claim` and `identity` tell of a pair that is none
            context.load_cert_chain(pair.certificate_file, pair.private_key_file)
    if route.port == ALPN_PORT:
        context.set_alpn_protocols([ALPN])


def _not_trusted(route: Route, error: ssl.SSLCertVerificationError) -> Findings:
    where = f"{route.host}:{route.port}"
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        yield _ABOUT.failed(
            "server-certificate-dates",
            f"The certificate of {where} looks out of date: {_why(error)}.",
            where,
            "Set the clock (timedatectl set-ntp true); if it is right, the server is wrong.",
        )
    elif error.verify_code == _WRONG_NAME:
        yield _ABOUT.failed(
            "server-name",
            f"The certificate of {where} is not for that name: {_why(error)}.",
            where,
            f"Use the endpoint's own name: {_DESCRIBE}",
        )
    else:
        issuer = _issuer(route)
        missing = f"; missing is the CA {issuer}" if issuer else ""
        yield _ABOUT.failed(
            "ca-missing",
            f"The CA in {route.ca_file or 'the system store'} does not vouch for {where}: "
            f"{_why(error)}{missing}.",
            route.ca_file or "/etc/ssl/certs",
            "Add that CA to ca_file; for AWS IoT: AmazonRootCA1.pem from https://www.amazontrust.com/repository/",
        )


def _why(error: ssl.SSLCertVerificationError) -> str:
    return error.verify_message.rstrip(".")


def _issuer(route: Route) -> str:
    """Who signed the topmost certificate that the server shows, by common name; empty when it shows none."""
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only to be read
    try:
        with (
            _connect(route) as plain,
            context.wrap_socket(plain, server_hostname=route.host) as secured,
        ):
            chain = (
                secured.get_unverified_chain()
                if hasattr(secured, "get_unverified_chain")
                else None
            )
            shown = chain[-1] if chain else secured.getpeercert(binary_form=True)
        issuer = x509.load_der_x509_certificate(shown or b"").issuer
    except Exception:  # noqa: BLE001 - whatever it shows, a name is all that is lost
        return ""
    names = issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return f'"{names[0].value!s}"' if names else issuer.rfc4514_string()
