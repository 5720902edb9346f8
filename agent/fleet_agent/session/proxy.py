"""A tunnel through the HTTP proxy with Python's own sockets, to find what is wrong with it: awscrt reports no cause.

The SDK makes its own tunnel; nothing here runs while all is well.
"""

import base64
import http.client
import re
import socket
import traceback
from urllib.parse import unquote

from fleet_agent.errors import PROXY_PASSWORD, AgentError, UnreachableError
from fleet_agent.printable import printable
from fleet_agent.session.route import Route

_SERVER_ERRORS = 500
_NEEDS_PASSWORD = (407, 401)  # tinyproxy answers a wrong one with the latter
# The words of http.client.
_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})(.{0,60})", re.DOTALL)


def tunnel(route: Route, limit: float) -> socket.socket:
    """A connection to the endpoint through the proxy.

    Args:
        route: With a proxy.
        limit: Seconds for each thing that is waited for.

    Raises:
        UnreachableError: The proxy is not there, does not let through, is no proxy, or wants a user and a password.
    """
    parts = route.proxy_parts
    where = route.proxy_address
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=limit)
    connection.set_tunnel(route.host, route.port, _headers(parts.username, parts.password))
    try:
        connection.connect()
    except socket.gaierror as error:
        raise UnreachableError(
            f"The proxy {parts.hostname} does not resolve: {error.strerror}.",
            remedy="Check `proxy` in the configuration (or HTTPS_PROXY) and DNS.",
            code="proxy-unknown",
        ) from error
    except http.client.HTTPException as error:
        is_end = isinstance(error, http.client.RemoteDisconnected)
        answer = (
            "with nothing and closes the connection"
            if is_end
            else "with something that is not HTTP"
        )
        _close(connection, error)
        raise UnreachableError(
            f"The proxy {where} answers {answer}.",
            remedy="Is that an HTTP proxy, and its port? Check `proxy` in the configuration (or HTTPS_PROXY).",
            code="proxy-answer-invalid",
        ) from error
    except OSError as error:
        # Looked at before the socket goes: without one it was never reached.
        problem = _judge(route, error, is_reached=connection.sock is not None)
        _close(connection, error)
        raise problem from error
    return connection.sock


def _close(connection: http.client.HTTPConnection, error: Exception) -> None:
    """Ends it, also where the proxy's answer, in some frame of http.client, holds on to the socket (Python 3.11.2)."""
    traceback.clear_frames(error.__traceback__)
    connection.close()


def _headers(user: str | None, password: str | None) -> dict[str, str]:
    if not user:
        return {}
    who = f"{unquote(user)}:{unquote(password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(who.encode()).decode()}"}


def _judge(route: Route, error: OSError, *, is_reached: bool) -> AgentError:
    where, to = route.proxy_address, f"{route.host}:{route.port}"
    found = _REFUSED.match(str(error))
    if found is None and is_reached:
        return UnreachableError(
            f"The proxy {where} accepts a connection but does not answer: {error.strerror or error}.",
            remedy="Ask its operator; or try without it: proxy: none",
            code="proxy-silent",
        )
    if found is None:
        return UnreachableError(
            f"The proxy {where} does not answer: {error.strerror or error}.",
            remedy="Check `proxy` in the configuration (or HTTPS_PROXY), and that the proxy can be reached from here.",
            code="proxy-unreachable",
        )
    status = int(found[1])
    words = printable(f"{status}{found[2]}")
    if status in _NEEDS_PASSWORD:
        refusal = (
            "does not accept this user and password"
            if route.proxy_parts.username
            else "requires a user and a password"
        )
        return UnreachableError(
            f"The proxy {where} {refusal} ({words}).",
            remedy="Write user:password into a file and set it: proxy_credentials: /etc/fleet-agent/proxy",
            code=PROXY_PASSWORD,
        )
    if status >= _SERVER_ERRORS:
        return UnreachableError(
            f"The proxy {where} cannot reach {to}: {words}.",
            remedy="Check the endpoint and the port; the network behind the proxy may be down.",
            code="proxy-endpoint-unreachable",
        )
    return UnreachableError(
        f"The proxy {where} refuses CONNECT to {to}: {words}.",
        remedy=f"Have {to} allowed there; many proxies allow only port 443: port: 443",
        code="proxy-refused",
    )
