"""A tunnel through the HTTP proxy with Python's own sockets, to say what is wrong with it: awscrt only says that.

The SDK makes its own tunnel; nothing here runs while all is well.
"""

import base64
import re
import socket
from urllib.parse import unquote, urlsplit

from fleet_agent.errors import AgentError, DeviceError, UnreachableError
from fleet_agent.session.route import Route

_HEAD_LIMIT = 8192  # bytes of an answer that are looked at
_OK, _SERVER_ERRORS = 200, 500
_NEEDS_PASSWORD = (407, 401)  # tinyproxy says the latter to a wrong one


def tunnel(route: Route, limit: float) -> socket.socket:
    """A connection to the endpoint through the proxy.

    Args:
        route: With a proxy.
        limit: Seconds for each thing that is waited for.

    Raises:
        UnreachableError: The proxy is not there, does not let through, or is none.
        DeviceError: It wants a user and a password, or others.
    """
    parts = urlsplit(route.proxy or "")
    where = route.proxy_address
    try:
        plain = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=limit)
    except socket.gaierror as error:
        raise UnreachableError(
            f"The proxy {parts.hostname} does not resolve: {error.strerror}.",
            remedy="Check `proxy` in the configuration (or HTTPS_PROXY) and DNS.",
            code="proxy-unknown",
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"The proxy {where} does not answer: {error.strerror or error}.",
            remedy="Check `proxy` in the configuration (or HTTPS_PROXY), and that the proxy is reached from here.",
            code="proxy-unreachable",
        ) from error
    try:
        plain.sendall(_request(route, parts.username, parts.password))
        head = _answer(plain)
    except OSError as error:
        plain.close()
        raise UnreachableError(
            f"The proxy {where} accepts a connection and does not answer: {error.strerror or error}.",
            remedy="Ask whoever runs it; or try without: proxy: none",
            code="proxy-silent",
        ) from error
    if problem := _judge(route, head):
        plain.close()
        raise problem
    return plain


def _request(route: Route, user: str | None, password: str | None) -> bytes:
    host = f"[{route.host}]" if ":" in route.host else route.host
    lines = [f"CONNECT {host}:{route.port} HTTP/1.1", f"Host: {host}:{route.port}"]
    if user:
        who = f"{unquote(user)}:{unquote(password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(who.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


def _answer(plain: socket.socket) -> bytes:
    """The head of the answer, and nothing behind it: that is the endpoint's already."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD_LIMIT:
        data = plain.recv(1)
        if not data:
            break
        head += data
        if len(head) >= 5 and not head.startswith(b"HTTP/"):  # noqa: PLR2004 - of "HTTP/"
            break
    return head


def _judge(route: Route, head: bytes) -> AgentError | None:
    where, to = route.proxy_address, f"{route.host}:{route.port}"
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})([^\r\n]*)", head)
    if not found:
        what = "something that is no HTTP" if head else "nothing and hangs up"
        return UnreachableError(
            f"The proxy {where} answers {what}.",
            remedy="Is that an HTTP proxy, and its port? Check `proxy` in the configuration (or HTTPS_PROXY).",
            code="proxy-garbage",
        )
    status = int(found[1])
    words = f"{status}{found[2][:60].decode('ascii', 'replace')}"
    if status == _OK:
        return None
    if status in _NEEDS_PASSWORD:
        has_one = bool(urlsplit(route.proxy or "").username)
        what = "does not take this user and password" if has_one else "wants a user and a password"
        return DeviceError(
            f"The proxy {where} {what} ({words}).",
            remedy="Write user:password into a file and name it: proxy_credentials: /etc/fleet-agent/proxy",
            code="proxy-password",
        )
    if status >= _SERVER_ERRORS:
        return UnreachableError(
            f"The proxy {where} does not reach {to}: {words}.",
            remedy="Check the endpoint and the port; the network behind the proxy may be down.",
            code="proxy-no-way",
        )
    return UnreachableError(
        f"The proxy {where} refuses CONNECT to {to}: {words}.",
        remedy=f"Have {to} allowed there; many proxies allow port 443 alone: port: 443",
        code="proxy-refuses",
    )
