"""An object put into S3, signed here (AWS's signature version 4) and sent like any other request.

The SDK can sign, too, but its module for that is left out of the package: a few hashes are not worth its size there.
"""

import hashlib
import hmac
import time

from fleet_agent.session import http
from fleet_agent.session.http import Answer, Request
from fleet_agent.session.route import Route

_KIND = "AWS4-HMAC-SHA256"


def put(  # noqa: PLR0913 - of a request, all of it
    route: Route,
    path: str,
    body: bytes,
    *,
    region: str,
    keys: tuple[str, str, str],
    now: float,
    limit: float,
) -> Answer:
    """Puts the object there; returns S3's answer.

    Args:
        route: To S3.
        path: Of the object, as a URL has it.
        body: What it holds.
        region: Of the bucket.
        keys: Access key id, secret access key and session token.
        now: Unix seconds.
        limit: Seconds.

    Raises:
        AgentError: TLS cannot be set up.
    """
    access_key_id, secret, session_token = keys
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": moment,
        "x-amz-security-token": session_token,
    }
    scope = (moment[:8], region, "s3", "aws4_request")
    signed = {"host": http.host_of(route), **headers}
    signature = _signature(path, signed, scope, secret)
    headers["Authorization"] = (
        f"{_KIND} Credential={access_key_id}/{'/'.join(scope)}, "
        f"SignedHeaders={';'.join(signed)}, Signature={signature}"
    )
    request = Request(path=path, method="PUT", headers=headers, body=body)
    return http.once(route, None, request, limit)


def _signature(path: str, headers: dict[str, str], scope: tuple[str, ...], secret: str) -> str:
    """By AWS's documentation; for S3 the path counts as it is sent. ``headers``: sorted, names in lower case."""
    lines = (f"{name}:{value}" for name, value in headers.items())
    digest = headers["x-amz-content-sha256"]
    asked = "\n".join(("PUT", path, "", *lines, "", ";".join(headers), digest))
    whole = hashlib.sha256(asked.encode()).hexdigest()
    text = "\n".join((_KIND, headers["x-amz-date"], "/".join(scope), whole))
    key = f"AWS4{secret}".encode()
    for part in (*scope, text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()
