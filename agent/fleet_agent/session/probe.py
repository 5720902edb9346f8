"""Probes the way to AWS IoT step by step: key, name, port (or proxy), TLS; by Python's sockets, which name the cause.

A certificate failure reaches awscrt's callback after 10 to 30 seconds and without a cause; a plain handshake with the
same files names it at once. The diagnosis of a failed session takes the first failure, the doctor prints every step.
The steps that follow, TLS with a key in a hardware token and the CONNACK, only awscrt can do: see
``Conversation.connect``, whose failures ``diagnosis`` explains.
"""

import contextlib
import enum
import socket
import ssl
import threading
from collections.abc import Iterator

from fleet_agent import clock
from fleet_agent.credentials.model import HardwareKey, KeyPair
from fleet_agent.errors import (
    CERTIFICATE_REFUSED,
    CONNECT_UNANSWERED,
    DATES,
    SERVER_UNTRUSTED,
    AgentError,
    DeviceError,
    RefusedError,
    UnreachableError,
)
from fleet_agent.record import record
from fleet_agent.session.handshake import Handshake
from fleet_agent.session.route import Route

# Seconds for all of it: the deciding thread waits meanwhile, and the watchdog with it.
LIMIT = 10.0
STEP_LIMIT = 4.0  # seconds for each thing that is waited for
ALERT_LIMIT = 1.0  # seconds for TLS 1.3's refusal of our certificate to arrive

TLS_REFUSED = "tls-refused"  # a handshake that failed without saying why

_EXPIRED, _NOT_YET_VALID, _WRONG_NAME = 10, 9, 62  # OpenSSL's X509_V_ERR_…
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)

# Without an alert; Python 3.11.2, which is Debian 12's, calls an end in the handshake the middle one.
_ENDINGS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)


class Stage(enum.Enum):
    """The subject of a step."""

    KEY = "key"
    NAME = "name"
    PORT = "port"
    PROXY = "proxy"
    TLS = "TLS"


@record
class Step:
    """One step of the way: ``seen``, in words, or the ``error`` that it ends with."""

    stage: Stage
    seen: str = ""
    error: AgentError | None = None


def first_failure(route: Route, pair: KeyPair, now: float) -> AgentError | None:
    """The first failure on the way; None: all is fine, or it takes too long to find out.

    Runs in a thread of its own: neither a resolver nor a server that sends a byte a second respects our time limits.

    Args:
        route: Where to.
        pair: The credential to show.
        now: Unix seconds, to distinguish a wrong certificate from a wrong clock.
    """
    errors = (step.error for step in _walked(route, pair, now) if step.error is not None)
    # awscrt's own error says more than a handshake that failed without a reason.
    return next((error for error in errors if error.code != TLS_REFUSED), None)


def reaches(route: Route, pair: KeyPair, now: float) -> bool:
    """Whether the endpoint is reached and trusted by the CA, whatever it says to our certificate.

    Args:
        route: Where to.
        pair: The credential to show.
        now: Unix seconds.
    """
    last = next(iter(_walked(route, pair, now)[-1:]), None)
    if last is None or last.stage is not Stage.TLS:
        return False
    return last.error is None or last.error.code in (CERTIFICATE_REFUSED, CONNECT_UNANSWERED)


def _walked(route: Route, pair: KeyPair, now: float) -> list[Step]:
    """The steps taken within ``LIMIT``."""
    found: list[Step] = []
    thread = threading.Thread(target=lambda: found.extend(steps(route, pair, now)), daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the unit, or the machine, has no thread left
        return []
    thread.join(LIMIT)
    return list(found)


def steps(route: Route, pair: KeyPair | None, now: float) -> Iterator[Step]:
    """Takes the steps in order; one that fails is the last.

    Args:
        route: Where to.
        pair: The credential to show, which a server of AWS's asks for; None: there is none.
        now: Unix seconds.
    """
    stage = Stage.KEY
    try:
        if pair is not None:
            _check_token(pair)
        if route.proxy:
            from fleet_agent.session import proxy

            stage = Stage.PROXY
            plain = proxy.tunnel(route, STEP_LIMIT)
            seen = f"The proxy {route.proxy_address} allows connections to {_where(route)}."
        else:
            stage = Stage.NAME
            addresses = _resolve(route)
            yield Step(
                stage=stage, seen=f"{route.host} has the address {', '.join(addresses[:4])}."
            )
            stage = Stage.PORT
            plain = _connect(route)
            seen = f"TCP {route.port} answers."
        with plain:
            yield Step(stage=stage, seen=seen)
            stage = Stage.TLS
            yield Step(stage=stage, seen=_shake_hands(route, pair, plain, now))
    except AgentError as error:
        yield Step(stage=stage, error=error)


def _where(route: Route) -> str:
    return f"{route.host}:{route.port}"


def _describe(route: Route) -> str:
    return f"aws iot describe-endpoint --endpoint-type {route.kind}"


def _check_token(pair: KeyPair) -> None:
    """Checks a key in a hardware token: awscrt does not say that it cannot be used."""
    if isinstance(pair.private_key, HardwareKey):
        from fleet_agent.credentials.hardware_token import keys as hardware_keys

        hardware_keys.check(pair.private_key)


def _resolve(route: Route) -> list[str]:
    try:
        found = socket.getaddrinfo(route.host, None)
    # The latter of a name that cannot be one, such as with a label of more than 63 characters.
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UnreachableError(
            f"The endpoint {route.host} does not resolve: {why}.",
            remedy=f"Check its spelling ({_describe(route)}) and DNS.",
            code="endpoint-unknown",
        ) from error
    return sorted({str(address[4][0]) for address in found})


def _connect(route: Route) -> socket.socket:
    try:
        return socket.create_connection((route.host, route.port), timeout=STEP_LIMIT)
    except OSError as error:
        raise UnreachableError(
            f"{_where(route)} does not answer: {error.strerror or error}.",
            remedy="Check the network, the port (8883; many firewalls allow only 443) and the endpoint.",
            code="endpoint-unreachable",
        ) from error


def _shake_hands(route: Route, pair: KeyPair | None, plain: socket.socket, now: float) -> str:
    """Does a TLS handshake with the credential, where Python can use its key; the TLS version."""
    context = _context(route)
    shown = pair if _load(context, pair) else None
    handshake = Handshake(context, plain, route.host)
    version = None
    try:
        version = handshake.shake(STEP_LIMIT)
        handshake.listen(ALERT_LIMIT)
    except ssl.SSLCertVerificationError as error:
        raise _not_trusted(route, error, now) from error
    except OSError as error:  # ssl.SSLError is one
        if shown is not None and "ALERT" in _reason(error):
            raise _certificate_refused(shown, _reason(error)) from error
        if shown is not None and handshake.is_shown and isinstance(error, _ENDINGS):
            raise hung_up(route, shown) from error
        if version is None:
            raise _no_handshake(route, error) from error
        # A good connection stays silent; a refusal is expected where no certificate was shown.
    return f"{version}: chain and name of {_where(route)} are right."


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or "")


def _context(route: Route) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=route.ca_file)
    except OSError as error:
        raise DeviceError(
            f"TLS cannot be set up with CA {route.ca_file or 'of the system'}: {error.strerror or error}.",
            remedy="Set AWS IoT's CA, AmazonRootCA1.pem, with ca_file; or apt-get install ca-certificates",
            code="ca-unreadable",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if route.alpn:
        context.set_alpn_protocols([route.alpn])
    return context


def _load(context: ssl.SSLContext, pair: KeyPair | None) -> bool:
    """Has the certificate shown, where Python can: not with a key in a hardware token."""
    if pair is None or isinstance(pair.private_key, HardwareKey):
        return False
    with contextlib.suppress(OSError):  # whoever made the pair says what is wrong with it
        context.load_cert_chain(pair.certificate_file, pair.private_key_file)
        return True
    return False


def _no_handshake(route: Route, error: OSError) -> AgentError:
    if route.proxy and _reason(error) in _NO_TLS:
        return _tls_broken(route, "something answers there that does not speak TLS")
    # The tunnel's reader may have taken what came behind the proxy's answer.
    if route.proxy and isinstance(error, _ENDINGS):
        return _tls_broken(route, "the connection ends in the handshake")
    if _reason(error) in _NO_TLS:
        return UnreachableError(
            f"Whatever answers at {_where(route)} does not speak TLS.",
            remedy="Check endpoint and port; or something in between may answer instead, such as a login page.",
            code="endpoint-no-tls",
        )
    return UnreachableError(
        f"No TLS with {_where(route)}: {_reason(error) or error.strerror or error}.",
        remedy="Something in between may intercept TLS, or another service answers: check endpoint and port.",
        code=TLS_REFUSED,
    )


def _tls_broken(route: Route, words: str) -> AgentError:
    return UnreachableError(
        f"The proxy {route.proxy_address} says that it is connected to {_where(route)}, but {words}.",
        remedy="Have the proxy pass this endpoint through without inspecting TLS, or use another route.",
        code="proxy-tls-broken",
    )


_UNKNOWN = (
    "It is unknown in the account and region of this endpoint, or not ACTIVE: aws iot describe-certificate "
    "--certificate-id ID"
)


def _certificate_refused(pair: KeyPair, reason: str) -> AgentError:
    return RefusedError(
        f"AWS IoT does not accept the certificate in {pair.certificate_file} "
        f"({reason.lower().replace('_', ' ')}).",
        remedy=_UNKNOWN,
        code=CERTIFICATE_REFUSED,
    )


def hung_up(route: Route, pair: KeyPair) -> AgentError:
    """The error of a hang-up, which is how AWS answers an unknown certificate, or one that is not ACTIVE."""
    return RefusedError(
        f"{_where(route)} closes the connection on the certificate in {pair.certificate_file} without an answer.",
        remedy=_UNKNOWN,
        code=CONNECT_UNANSWERED,
    )


def _not_trusted(route: Route, error: ssl.SSLCertVerificationError, now: float) -> AgentError:
    """The error of an untrusted server: the network or the CA file is to blame, so ``run`` goes on trying."""
    where, why = _where(route), error.verify_message.rstrip(".")
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        word = "expired" if error.verify_code == _EXPIRED else "not yet valid"
        return UnreachableError(
            f"The certificate of {where} looks {word}: this device's clock says {clock.text(now)}.",
            remedy="Set the clock (timedatectl), and the agent continues; if the clock is right, the server is at "
            "fault.",
            code=DATES,
        )
    if route.proxy:
        words = f"another server answers there, or the proxy intercepts TLS: {why}"
        return _tls_broken(route, words)
    authority = route.ca_file or "the system's store"
    from fleet_agent.session import issuer as issuers

    issuer = issuers.shown(route)
    if error.verify_code == _WRONG_NAME:
        return UnreachableError(
            f"The certificate of {where} is not for that name: {why} "
            f"(issued by {issuer or 'nobody known'}, trusted by the CA in {authority}).",
            remedy=f"Use the endpoint's own name: {_describe(route)}",
            code=SERVER_UNTRUSTED,
        )
    missing = f"; the CA {issuer} is missing" if issuer else ""
    return UnreachableError(
        f"The certificate of {where} cannot be verified with the CA in {authority}: {why}{missing}.",
        remedy="Set the CA of that endpoint with --ca-file or ca_file; for AWS IoT: AmazonRootCA1.pem (and 3) from "
        "https://www.amazontrust.com/repository/",
        code=SERVER_UNTRUSTED,
    )
