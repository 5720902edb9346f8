"""Looks whether the server at an endpoint can be trusted, before devices are made or let connect there.

awscrt answers a failed handshake with a wait of ten to thirty seconds (s2n's blinding), and then often says no more
than that no answer came.
"""

import contextlib
import socket
import ssl
from pathlib import Path

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.fleet.connection import Server

_SECONDS = 10.0
# Where awscrt finds the system's store; a self-built Python may look elsewhere.
_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


def check_trust(server: Server) -> None:
    """Checks that the server answers and that its certificate is trusted; all else is for the connection to find.

    Raises:
        FleetCloudError: It does not, or it is not.
    """
    endpoint = server.endpoint
    context = ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)
    for store in () if server.ca_file else filter(Path.is_file, map(Path, _STORES)):
        context.load_verify_locations(store)
    ca = f"the CA in {server.ca_file}" if server.ca_file else "this machine's own store"
    try:
        plain = socket.create_connection((endpoint.host, endpoint.port), _SECONDS)
    except OSError as error:
        raise _unreachable(
            server,
            error.strerror or str(error),
            "check the network, the name and the port (a firewall may allow 443 but not 8883)",
        ) from error
    with plain, contextlib.suppress(ssl.SSLError, OSError):
        try:
            context.wrap_socket(plain, server_hostname=endpoint.host).close()
        except ssl.SSLCertVerificationError as error:
            raise _unreachable(
                server,
                f"TLS: {error.verify_message}",
                f"check that {ca} signed the endpoint's certificate, or pass the CA that did: --ca-file FILE",
            ) from error


def _unreachable(server: Server, why: str, remedy: str) -> FleetCloudError:
    where = f"{server.endpoint.host} port {server.endpoint.port}"
    return FleetCloudError(
        f"no connection to {where}: {why}", remedy=remedy, code="endpoint-unreachable"
    )
