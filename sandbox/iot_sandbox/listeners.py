"""The listening sockets: bound before anything else starts, and only where they were asked for.

ministack's MQTT listener binds every interface and cannot pick a port. ``SandboxLoop`` hands it sockets of ours
instead, one for each port asked for. A socket listens from the start, so that no program can take the port between
choosing it and serving it.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from iot_sandbox.settings import EXIT_UNAVAILABLE, SandboxError

ANY_INTERFACE = "0.0.0.0"  # noqa: S104  what ministack asks for, and does not get


def listen(host: str, port: int, option: str) -> socket.socket:
    """Opens a listening socket.

    Args:
        host: address or name; a name's first address is taken, IPv4 first.
        port: 0 picks a free one.
        option: the command line's name for the port, for the error.

    Raises:
        SandboxError: host unknown, port in use or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise SandboxError(f"--host {host}: {error.strerror}", EXIT_UNAVAILABLE) from error
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0])
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        hint = ", and below 1024 it takes root" if isinstance(error, PermissionError) else ""
        raise SandboxError(
            f"cannot listen on {host}:{port}: {error.strerror}; {option} 0 picks a free port{hint}",
            EXIT_UNAVAILABLE,
        ) from error
    listener.setblocking(False)
    return listener


@dataclass(frozen=True, kw_only=True)
class Listening:
    """The sockets of one sandbox: for HTTP, for MQTT (one at least), and of the credentials endpoint."""

    http: socket.socket
    mqtt: Sequence[socket.socket]
    credentials: socket.socket


def port_of(listener: socket.socket) -> int:
    """Returns the port a socket is bound to."""
    return int(listener.getsockname()[1])


class _Together:
    """Several servers that are closed as one."""

    def __init__(self, servers: Sequence[asyncio.Server]) -> None:
        self._servers = servers

    def close(self) -> None:
        for server in self._servers:
            server.close()


class SandboxLoop(asyncio.SelectorEventLoop):
    """An event loop on which no server listens on every interface: they get the sockets we opened for MQTT."""

    def __init__(self, mqtt: Sequence[socket.socket]) -> None:
        super().__init__()
        self._mqtt = mqtt

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,  # noqa: ANN401  the signature of the base class, whose overloads differ
        port: Any = None,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> asyncio.Server:
        """Serves as asked, but on our own sockets what was meant for every interface.

        Raises:
            SandboxError: a listener other than MQTT's wants every interface.
        """
        if host == ANY_INTERFACE and port == port_of(self._mqtt[0]):
            # Duplicates: the ports stay ours when ministack closes and reopens its listener.
            servers = []
            for each in self._mqtt:
                server = await super().create_server(protocol_factory, sock=each.dup(), **options)
                servers.append(server)
            # ministack only closes it.
            return cast("asyncio.Server", _Together(servers))
        if host == ANY_INTERFACE:
            raise SandboxError(
                f"refused to listen on every interface, port {port}", EXIT_UNAVAILABLE
            )
        return await super().create_server(protocol_factory, host, port, **options)
