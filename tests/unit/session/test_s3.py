"""What is sent to S3: signed for the object, the region and the keys, with the body's own hash."""

import hashlib
import hmac
import re
import socket
import threading

from fleet_agent.session import s3
from fleet_agent.session.http import Answer
from fleet_agent.session.route import Route

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
        answer = s3.put(route, "/a//b%20c.tar", body, region="eu-central-1", keys=KEYS, limit=10.0)
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
    assert headers["x-amz-security-token"] == "session-token"
    scope = r"credential=akidexample/\d{8}/eu-central-1/s3/aws4_request"
    assert re.search(f"aws4-hmac-sha256 {scope}", headers["authorization"])
    assert headers["authorization"].endswith(f"signature={signature(headers)}")


def signature(headers: dict[str, str]) -> str:
    """What S3 finds, by AWS's signature version 4: the path is encoded once, as it was sent."""
    date = headers["x-amz-date"].upper()
    signed = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
    assert f"signedheaders={signed}," in headers["authorization"]
    values = {**headers, "x-amz-date": date}
    lines = [f"{name}:{values[name]}" for name in signed.split(";")]
    digest = headers["x-amz-content-sha256"]
    asked = "\n".join(["PUT", "/a//b%20c.tar", "", *lines, "", signed, digest])
    scope = [date[:8], "eu-central-1", "s3", "aws4_request"]
    whole = hashlib.sha256(asked.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", date, "/".join(scope), whole])
    key = f"AWS4{KEYS[1]}".encode()
    for each in [*scope, text]:
        key = hmac.digest(key, each.encode(), "sha256")
    return key.hex()


def test_a_server_that_says_nothing_is_waited_for_no_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        route = Route(host="127.0.0.1", port=port, ca_file=None, proxy=None, is_plain=True)
        answer = s3.put(route, "/a", b"", region="eu-central-1", keys=KEYS, limit=0.05)
    assert answer == Answer(status=None, error="no answer within 0.05 s")


def test_one_that_cannot_be_signed() -> None:
    route = Route(host="127.0.0.1", port=1, ca_file=None, proxy=None, is_plain=True)
    answer = s3.put(route, "/a", b"", region="", keys=KEYS, limit=1.0)
    assert answer.status is None
    assert answer.error.startswith("it cannot be signed: ")
