"""What is sent to S3: signed for the object, the region and the keys, with the body's own hash."""

import datetime as dt
import hashlib
import re
import socket
import threading

from awscrt import auth, http

from fleet_agent.session import s3
from fleet_agent.session.http import Answer
from fleet_agent.session.route import Route

NOW = dt.datetime(2027, 1, 15, 8, tzinfo=dt.UTC)
KEYS = ("AKIDEXAMPLE", "secret", "session-token")


def put(body: bytes) -> tuple[Answer, bytes]:
    """The answer, and what the server was sent."""
    sent = bytearray()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while not sent.endswith(body):
                sent.extend(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 204 No Content\r\nETag: x\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        route = Route(host="127.0.0.1", port=port, ca_file=None, proxy=None, is_plain=True)
        answer = s3.put(
            route,
            "/a//b%20c.tar",
            body,
            region="eu-central-1",
            keys=KEYS,
            now=NOW.timestamp(),
            limit=10.0,
        )
        thread.join()
    return answer, bytes(sent)


def test_a_signed_object() -> None:
    body = b"all of it"
    answer, sent = put(body)
    assert (answer.status, answer.headers["etag"]) == (204, "x")
    head = sent.removesuffix(b"\r\n\r\n" + body).decode()
    assert head.startswith("PUT /a//b%20c.tar HTTP/1.1\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", headers["host"])
    assert head.lower().count("host:") == 1
    assert headers["content-length"] == str(len(body))
    assert headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    assert headers["x-amz-date"] == "20270115t080000z"
    assert headers["x-amz-security-token"] == "session-token"
    scope = r"credential=akidexample/20270115/eu-central-1/s3/aws4_request"
    assert re.search(f"aws4-hmac-sha256 {scope}", headers["authorization"])
    assert headers["authorization"].endswith(f"signature={signature(headers)}")


def signature(headers: dict[str, str]) -> str:
    """What the SDK finds: for S3 the path is encoded once, as it was sent."""
    request = http.HttpRequest(
        "PUT", "/a//b%20c.tar", http.HttpHeaders([("Host", headers["host"])])
    )
    settings = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        credentials_provider=auth.AwsCredentialsProvider.new_static(*KEYS),
        region="eu-central-1",
        service="s3",
        date=NOW,
        signed_body_value=headers["x-amz-content-sha256"],
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        use_double_uri_encode=False,
        should_normalize_uri_path=False,
    )
    auth.aws_sign_request(request, settings).result(10)
    (found,) = (value for name, value in request.headers if name == "Authorization")
    return str(found).rpartition("Signature=")[2]


def test_a_server_that_says_nothing_is_waited_for_no_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        route = Route(host="127.0.0.1", port=port, ca_file=None, proxy=None, is_plain=True)
        answer = s3.put(
            route, "/a", b"", region="eu-central-1", keys=KEYS, now=NOW.timestamp(), limit=0.05
        )
    assert answer == Answer(status=None, error="no answer within 0.05 s")
