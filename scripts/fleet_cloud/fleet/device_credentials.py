"""Requests AWS credentials as a device does, with its certificate, and returns only whether they were refused."""

import http.client
import json
import ssl

from fleet_cloud.fleet.configuration import Endpoint
from fleet_cloud.fleet.connection import Identity, Server

_SECONDS = 20.0


def refusal(
    server: Server, endpoint: Endpoint, me: Identity, thing: str, alias: str
) -> str | None:
    """Asks for credentials of a role alias; returns how they are refused, or nothing when they come."""
    ca_file = str(server.ca_file) if server.ca_file else None
    context = ssl.create_default_context(cafile=ca_file)
    context.load_cert_chain(me.certificate, me.key)
    connection = http.client.HTTPSConnection(
        endpoint.host, endpoint.port, context=context, timeout=_SECONDS
    )
    try:
        path = f"/role-aliases/{alias}/credentials"
        connection.request("GET", path, headers={"x-amzn-iot-thingname": thing})
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer from {endpoint.host} port {endpoint.port}: {error}"
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return None
    try:
        said = json.loads(body).get("message", "")
    except (ValueError, AttributeError):
        said = ""
    return f"{answer.status} {said}".strip()
