"""Who signed the certificate of a server that is not trusted: the CA that is missing here, or should not be there."""

import re
import socket
import ssl

from fleet_agent.printable import printable
from fleet_agent.session.route import Route

LIMIT = 1.0  # seconds to look at the chain


def shown(route: Route) -> str:
    """Who signed the topmost certificate that the server shows; empty when that cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only to be read
    try:
        with (
            socket.create_connection((route.host, route.port), timeout=LIMIT) as plain,
            context.wrap_socket(plain, server_hostname=route.host) as secured,
        ):
            get_chain = getattr(secured, "get_unverified_chain", None)  # Python 3.13
            chain = get_chain() if get_chain else None
            certificate = chain[-1] if chain else secured.getpeercert(binary_form=True)
    except OSError:
        return ""
    return issuer_of(certificate or b"")


# UTCTime or GeneralizedTime, which follow the issuer.
_DATE = re.compile(rb"\x17\x0d\d{12}Z|\x18\x0f\d{14}Z")
_NAMES = (b"\x03", b"\x0a", b"\x0b")  # common name, organisation, unit: the last byte of 2.5.4.…


def issuer_of(certificate: bytes) -> str:
    """A certificate's issuer, in quotes, by its common name or else its organisation; empty when it has neither.

    Read off its DER without a parser, which would stay in the daemon's memory for years.
    """
    issuer = _DATE.split(certificate)[0]
    for kind in _NAMES:
        found = re.search(rb"\x06\x03\x55\x04" + kind + rb".(.)", issuer, re.DOTALL)
        if found:
            return f'"{printable(issuer[found.end() :][: found[1][0]])}"'
    return ""
