"""Uploading a bundle to S3, below the thing's name, with AWS credentials for the device's identity."""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from fleet_agent.clock import text
from fleet_agent.config.checks import s3_place
from fleet_agent.config.settings import Settings
from fleet_agent.config.shape import WrongValueError
from fleet_agent.errors import (
    AgentError,
    RefusedError,
    TemporaryError,
    UnreachableError,
    UsageError,
)
from fleet_agent.pasted import REGION, arn_of
from fleet_agent.printable import printable
from fleet_agent.session.route import Route, route_to

if TYPE_CHECKING:
    from fleet_agent.session.http import Answer

SCHEME = "s3://"
LIMIT = 120.0  # seconds

_DEFAULT_REGION = "us-east-1"
_MOVED = (301, 307, 400)  # S3's answers to a request in another region than the bucket's
_OK, _SERVER = 200, 500
# It becomes part of the host name that the device's credentials are sent to.
_REGION_NAME = re.compile(r"[a-z0-9-]{1,32}")


def check(url: str) -> None:
    """Checks a place in S3.

    Raises:
        UsageError: The URL names no place in S3.
    """
    try:
        s3_place(url)
    except WrongValueError as error:
        raise UsageError(
            f"--bundle {printable(url)} {error.problem}.",
            remedy="Write s3://BUCKET or s3://BUCKET/PREFIX",
            code="usage",
        ) from None


def put(
    url: str, body: bytes, settings: Settings, thing: str, keys: Mapping[str, object], now: float
) -> str:
    """Uploads a bundle; returns its address.

    Args:
        url: ``s3://BUCKET/PREFIX``.
        body: The bundle.
        settings: For the proxy, the CA and the region.
        thing: The device's thing name.
        keys: AWS credentials, as `credential_process` prints them.
        now: Unix seconds.

    Raises:
        AgentError: It could not be uploaded.
    """
    from fleet_agent.session import s3  # imports the SDK, without which the doctor must work

    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    name = f"bundle-{text(now).replace(':', '')}.tar.gz"
    key = "/".join(part for part in (prefix.strip("/"), thing, name) if part)
    region = os.environ.get("AWS_REGION") or _region(settings)
    secrets = (
        str(keys["AccessKeyId"]),
        str(keys["SecretAccessKey"]),
        str(keys["SessionToken"]),
    )

    def send(region: str) -> "Answer":
        route, path = _place(settings, bucket, key, region)
        return s3.put(route, path, body, region=region, keys=secrets, now=now, limit=LIMIT)

    answer = send(region)
    other = answer.headers.get("x-amz-bucket-region")
    if answer.status in _MOVED and other and _REGION_NAME.fullmatch(other) and other != region:
        answer = send(other)
    if answer.status != _OK:
        raise _error(answer, bucket, key)
    return f"{SCHEME}{bucket}/{key}"


def _region(settings: Settings) -> str:
    endpoint = settings.credentials.endpoint if settings.credentials else settings.endpoint
    region = arn_of(endpoint).region
    return _DEFAULT_REGION if region == REGION else region


def _place(settings: Settings, bucket: str, key: str, region: str) -> tuple[Route, str]:
    """Returns the way to S3, and the object's path there."""
    path = f"/{quote(key, safe='/-_.~')}"
    given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if given:
        parts = urlsplit(given)
        is_plain = parts.scheme == "http"
        port = parts.port or (80 if is_plain else 443)
        to = route_to(settings, parts.hostname or "", port, is_plain=is_plain)
        return to, f"/{bucket}{path}"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in bucket:  # no certificate is for such a name
        return route_to(settings, f"s3.{region}.{suffix}", 443), f"/{bucket}{path}"
    return route_to(settings, f"{bucket}.s3.{region}.{suffix}", 443), path


def _error(answer: "Answer", bucket: str, key: str) -> AgentError:
    where = f"{SCHEME}{bucket}/{printable(key, 200)}"
    if answer.status is None:
        return UnreachableError(
            f"No answer from S3 for {where}: {answer.error}.",
            remedy="Check that S3 can be reached from here, and the proxy if there is one.",
            code="s3-no-answer",
        )
    code = re.search(rb"<Code>(\w{1,64})</Code>", answer.body)
    words = f"{answer.status} {code[1].decode() if code else ''}".rstrip()
    if answer.status >= _SERVER or words.endswith("SlowDown"):
        return TemporaryError(
            f"S3 does not accept {where} for now: {words}.", remedy="Try again.", code="s3-busy"
        )
    folders = key.split("/")[:-2]
    things = printable("/".join((bucket, *folders, "${credentials-iot:ThingName}", "*")), 200)
    return RefusedError(
        f"S3 does not accept {where}: {words}.",
        remedy=f"The role must allow s3:PutObject on arn:aws:s3:::{things}, and the bucket must exist.",
        code="s3-refused",
    )
