"""An object put into S3: signed by awscrt, sent like any other request."""

import hashlib

from awscrt import auth
from awscrt import http as crt

from fleet_agent.session import http
from fleet_agent.session.http import Answer, Request
from fleet_agent.session.route import Route


def put(
    route: Route, path: str, body: bytes, *, region: str, keys: tuple[str, str, str], limit: float
) -> Answer:
    """Puts it.

    Args:
        route: To S3.
        path: Of the object, as a URL has it.
        body: What it holds.
        region: Of the bucket.
        keys: Access key id, secret access key and session token.
        limit: Seconds.

    Raises:
        AgentError: TLS cannot be set up.
    """
    headers = crt.HttpHeaders([("Host", http.host_of(route))])
    request = crt.HttpRequest("PUT", path, headers)
    settings = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        credentials_provider=auth.AwsCredentialsProvider.new_static(*keys),
        region=region,
        service="s3",
        signed_body_value=hashlib.sha256(body).hexdigest(),
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        use_double_uri_encode=False,
        should_normalize_uri_path=False,
    )
    try:
        auth.aws_sign_request(request, settings).result(limit)
    except Exception as error:  # noqa: BLE001 - the SDK's, of any kind
        return Answer(status=None, error=f"it cannot be signed: {error}")
    signed = {name: value for name, value in headers if name.lower() != "host"}
    asked = Request(path=path, method="PUT", headers=signed, body=body)
    return http.once(route, None, asked, limit)
