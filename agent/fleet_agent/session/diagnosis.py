"""Why a connection did not open, in words: looked at with Python's own sockets and TLS after awscrt only said that.

A certificate failure reaches awscrt's callback after 10 to 30 seconds and without a cause; a plain handshake with the
same files names it at once. Nothing here runs while all is well.
"""

import socket
import ssl
import threading

from fleet_agent import clock
from fleet_agent.credentials.model import KeyPair, TokenKey
from fleet_agent.errors import (
    DATES,
    HUNG_UP,
    AgentError,
    DeviceError,
    NotAllowedError,
    RefusedError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.printable import printable
from fleet_agent.session import proxy, reasons
from fleet_agent.session.events import ConnectFailed
from fleet_agent.session.mqtt import Session
from fleet_agent.session.reasons import Kind, Packet
from fleet_agent.session.route import ALPN, ALPN_PORT, Route

PROBE_LIMIT = (
    10.0  # seconds for all of it: the deciding thread waits meanwhile, and the watchdog with it
)
CONNECT_LIMIT = 4.0  # seconds
ALERT_LIMIT = 1.0  # seconds for TLS 1.3's refusal of our certificate to arrive

_HANG_UP = "AWS_ERROR_MQTT_UNEXPECTED_HANGUP"
_SLOW_TLS = "NEGOTIATION_TIMEOUT"
_NO_MQTT_5 = "PROTOCOL_ERROR"
_EXPIRED, _NOT_YET_VALID, _WRONG_NAME = 10, 9, 62  # OpenSSL's X509_V_ERR_…
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)


def explain(session: Session, failure: ConnectFailed | None, now: float) -> AgentError:
    """Say why the session did not open.

    Args:
        session: The one that failed.
        failure: What awscrt said; None when nothing came in time.
        now: Unix seconds, to tell a wrong certificate from a wrong clock.
    """
    if failure is not None and failure.reason_code is not None:
        return _refused(session, failure)
    if found := session.probe(now):
        return found
    if failure is not None and failure.error.startswith(_HANG_UP):
        return _hung_up(session)
    what = failure.error if failure else "no answer in time"
    if _NO_MQTT_5 in what:
        return UnreachableError(
            f"{_where(session)} does not speak MQTT 5: {what}.",
            remedy="A broker of MQTT 3.1.1 answers there. Compare `endpoint` with: aws iot describe-endpoint "
            "--endpoint-type iot:Data-ATS",
            code="no-mqtt-5",
        )
    if _SLOW_TLS in what:
        return UnreachableError(
            f"{_where(session)} accepts connections, but does not get through a TLS and MQTT handshake: {what}.",
            remedy="Something on the way may swallow it (a captive portal, a proxy), or the line is very slow.",
            code="endpoint-silent",
        )
    return UnreachableError(
        f"No MQTT connection to {_where(session)}: {what}.",
        remedy="Check that the port is open on the way there, and the proxy if there is one.",
        code="connect-failed",
    )


def why_no_context(route: Route, pair: KeyPair, error: str) -> AgentError:
    """Say which file keeps TLS from being set up; awscrt says only that it failed."""
    from fleet_agent.credentials import keys

    try:
        keys.check_pair(pair)
        ssl.create_default_context(cafile=route.ca_file)
    except AgentError as found:
        return found
    except OSError:  # ssl.SSLError is one
        return DeviceError(
            f"The CA file {route.ca_file} holds no readable certificate in PEM form (truncated, or something else).",
            remedy="Give the server's CA with --ca-file or ca_file; AWS IoT's is AmazonRootCA1.pem.",
            code="ca-invalid",
        )
    return DeviceError(
        f"TLS cannot be set up with {pair.certificate_file} and CA {route.ca_file or 'of the system'}: {error}.",
        remedy="Check the CA file; without one the system's store is used (apt-get install ca-certificates).",
        code="tls-setup",
    )


def _where(session: Session) -> str:
    return f"{session.route.host}:{session.route.port}"


def _hung_up(session: Session) -> AgentError:
    """AWS answers a certificate that it does not know, or that is not ACTIVE, with the end of the connection."""
    return RefusedError(
        f"{_where(session)} hangs up on the certificate in {session.pair.certificate_file} without an answer.",
        remedy="Is it ACTIVE and of this account and region? aws iot describe-certificate --certificate-id ID",
        code=HUNG_UP,
    )


def _refused(session: Session, failure: ConnectFailed) -> AgentError:
    code = reasons.UNKNOWN if failure.reason_code is None else failure.reason_code
    found = reasons.reason(Packet.CONNACK, code)
    words = reasons.words(Packet.CONNACK, code)
    if failure.reason_string:
        words = f"{words} ({printable(failure.reason_string, 200)})"
    if found.kind is Kind.POLICY and session.is_thing:
        error = NotAllowedError("thing", "iot:Connect", f"client/{session.client_id}")
        if session.upkeep.will is not None:
            error.remedy += (
                f" The last will on {session.upkeep.will.topic} needs iot:Publish, and iot:RetainPublish where it is "
                "retained (connection.presence)."
            )
        return error
    if found.kind is Kind.POLICY:  # a claim's client id is another one each time
        return NotAllowedError("claim", "iot:Connect", "client/claim-*")
    if found.kind is Kind.BUSY:
        return TemporaryError(
            f"AWS IoT refuses connections for now: {words}; {found.cause}.",
            remedy=found.remedy,
            code="busy",
        )
    return RefusedError(
        f"AWS IoT refuses the connection of {session.client_id!r} with {session.pair.certificate_file}: {words}; "
        f"{found.cause}.",
        remedy=found.remedy,
        code="connect-refused",
    )


def probe(session: Session, now: float) -> AgentError | None:
    """Walk name, port and TLS with the session's files; None when all of it is fine, or takes too long to tell.

    On a thread of its own: neither a resolver nor a server that sends a byte a second keeps to anybody's limits.
    """
    found: list[AgentError | None] = []
    thread = threading.Thread(target=lambda: found.append(_walk(session, now)), daemon=True)
    thread.start()
    thread.join(PROBE_LIMIT)
    return found[0] if found else None


def _walk(session: Session, now: float) -> AgentError | None:
    try:
        _ask_token(session.pair)
        plain = (
            proxy.tunnel(session.route, CONNECT_LIMIT)
            if session.route.proxy
            else _connect(session)
        )
    except AgentError as found:
        return found
    with plain:
        return _probe_tls(session, plain, now)


def _ask_token(pair: KeyPair) -> None:
    """A key that cannot be used keeps TLS from being set up, and awscrt does not say so."""
    if isinstance(pair.private_key, TokenKey):
        from fleet_agent.credentials import token

        token.check(pair.private_key)


def _connect(session: Session) -> socket.socket:
    route = session.route
    try:
        socket.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnreachableError(
            f"The endpoint {route.host} does not resolve: {error.strerror}.",
            remedy="Check its spelling (aws iot describe-endpoint --endpoint-type iot:Data-ATS) and DNS.",
            code="endpoint-unknown",
        ) from error
    try:
        return socket.create_connection((route.host, route.port), timeout=CONNECT_LIMIT)
    except OSError as error:
        raise UnreachableError(
            f"{_where(session)} does not answer: {error.strerror or error}.",
            remedy="Check the network, the port (8883, or 443 through many firewalls) and the endpoint.",
            code="endpoint-unreachable",
        ) from error


def _probe_tls(session: Session, plain: socket.socket, now: float) -> AgentError | None:
    # Python cannot use one in a token: to be refused without is no news.
    has_key = not isinstance(session.pair.private_key, TokenKey)
    try:
        context = ssl.create_default_context(cafile=session.route.ca_file)
        if has_key:
            context.load_cert_chain(session.pair.certificate_file, session.pair.private_key_file)
        if session.route.port == ALPN_PORT:
            context.set_alpn_protocols([ALPN])
        with context.wrap_socket(plain, server_hostname=session.route.host) as secured:
            secured.settimeout(ALERT_LIMIT)
            secured.recv(1)
    except ssl.SSLCertVerificationError as error:
        return _server_not_trusted(session, error, now)
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            return _certificate_refused(session, error.reason or "") if has_key else None
        if error.reason in _NO_TLS and session.route.proxy:
            return _proxy_lies(session, "something answers there that speaks no TLS")
    except OSError:
        pass  # silence is what a good connection gives; a reset is no cause that we could name
    return None


def _proxy_lies(session: Session, words: str) -> AgentError:
    return UnreachableError(
        f"The proxy {session.route.proxy_address} says that it is connected to {_where(session)}, and {words}.",
        remedy="Have the endpoint passed through untouched there (no inspection of TLS), or go another way.",
        code="proxy-lies",
    )


def _certificate_refused(session: Session, reason: str) -> AgentError:
    return RefusedError(
        f"AWS IoT does not accept the certificate in {session.pair.certificate_file} "
        f"({reason.lower().replace('_', ' ')}).",
        remedy="Is it ACTIVE and of this account and region? aws iot describe-certificate --certificate-id ID",
        code="certificate-refused",
    )


def _server_not_trusted(
    session: Session, error: ssl.SSLCertVerificationError, now: float
) -> AgentError:
    where = _where(session)
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        word = "expired" if error.verify_code == _EXPIRED else "not yet valid"
        stands = f"this device's clock says {clock.text(now)}"
        return UnreachableError(
            f"The certificate of {where} looks {word}: {stands}.",
            remedy="Set the clock (timedatectl), then it goes on; if the clock is right, the server is wrong.",
            code=DATES,
        )
    if session.route.proxy:
        words = (
            f"another server answers there, or the proxy takes TLS apart: {error.verify_message}"
        )
        return _proxy_lies(session, words)
    if error.verify_code == _WRONG_NAME:
        return DeviceError(
            f"The certificate of {where} is not for that name.",
            remedy="Use the endpoint's own name: aws iot describe-endpoint --endpoint-type iot:Data-ATS",
            code="endpoint-name",
        )
    return DeviceError(
        f"The CA in {session.route.ca_file or 'the system store'} does not vouch for {where}: "
        f"{error.verify_message}.",
        remedy="Give the CA of that endpoint with --ca-file or ca_file: for AWS IoT AmazonRootCA1.pem (and 3).",
        code="ca-mismatch",
    )
