"""Role aliases on a sandbox, and devices that may use them.

alias = make_alias(sandbox)                     # a role that may use its thing's part of a bucket
allow(fleet, alias.name)                        # the fleet's devices may take it
answer = ask(sandbox, pair, alias.name, thing)  # what the credentials endpoint says
"""

import http.client
import json
import ssl
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import botocore.session
from botocore.config import Config

from iot_sandbox.launch import Sandbox
from support.agent import COMMAND, Outcome, environment, written
from support.aws import aws_client
from support.fleets import Fleet

SERVICE = "credentials.iot.amazonaws.com"
ACTION = "iot:AssumeRoleWithCertificate"
OWN_PART = "${credentials-iot:ThingName}/*"
ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}


@dataclass(frozen=True)
class Alias:
    """A role alias, and the bucket of which its role may use each thing's own part."""

    name: str
    role: str
    bucket: str


class Pair(Protocol):
    """A certificate and its key, as files."""

    @property
    def certificate(self) -> Any: ...
    @property
    def private_key(self) -> Any: ...


def trust(service: str = SERVICE) -> dict[str, Any]:
    """A role's trust in a service."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def make_role(sandbox: Sandbox, bucket: str, *, service: str = SERVICE) -> str:
    """Makes a role for devices; gives its ARN."""
    iam, name = aws_client(sandbox, "iam"), f"vending-{uuid.uuid4().hex[:8]}"
    document = json.dumps(trust(service))
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=document, MaxSessionDuration=7200
    )
    statement = {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": f"arn:aws:s3:::{bucket}/{OWN_PART}",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="own-part", PolicyDocument=policy)
    arn: str = role["Role"]["Arn"]
    return arn


def make_alias(sandbox: Sandbox, *, service: str = SERVICE, seconds: int = 3600) -> Alias:
    """Makes a bucket, a role and an alias that nobody else uses."""
    name = f"alias-{uuid.uuid4().hex[:8]}"
    aws_client(sandbox, "s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": sandbox.region}
    )
    role = make_role(sandbox, name, service=service)
    aws_client(sandbox, "iot").create_role_alias(
        roleAlias=name, roleArn=role, credentialDurationSeconds=seconds
    )
    return Alias(name, role, name)


def allow(fleet: Fleet, *aliases: str) -> None:
    """What `fleet-cloud up --credentials` adds to the device policy."""
    found = fleet.iot.get_policy(policyName=fleet.device_policy)
    document = json.loads(found["policyDocument"])
    arn = document["Statement"][0]["Resource"].partition(":client/")[0]
    document["Statement"].append(
        {
            "Effect": "Allow",
            "Action": ACTION,
            "Resource": [f"{arn}:rolealias/{alias}" for alias in aliases],
            "Condition": ATTACHED,
        }
    )
    fleet.iot.create_policy_version(
        policyName=fleet.device_policy, policyDocument=json.dumps(document), setAsDefault=True
    )


def ask(
    sandbox: Sandbox, pair: Pair, alias: str, thing: str = ""
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Asks the credentials endpoint as any HTTP client does; gives status, body and headers."""
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    context.load_cert_chain(pair.certificate, pair.private_key)
    connection = http.client.HTTPSConnection(
        sandbox.endpoint, sandbox.credentials_port, context=context, timeout=20
    )
    headers = {"x-amzn-iot-thingname": thing} if thing else {}
    try:
        connection.request("GET", f"/role-aliases/{alias}/credentials", headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), dict(answer.getheaders())
    finally:
        connection.close()


def client_of(sandbox: Sandbox, found: dict[str, str], service: str) -> Any:
    """A botocore client that uses a set of credentials."""
    return botocore.session.Session().create_client(
        service,
        region_name=sandbox.region,
        endpoint_url=sandbox.http_url,
        aws_access_key_id=found["accessKeyId"],
        aws_secret_access_key=found["secretAccessKey"],
        aws_session_token=found["sessionToken"],
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def credentials(
    *words: str | Path, env: Mapping[str, str] | None = None, user: int | None = None
) -> Outcome:
    """Runs ``fleet-agent credentials``; what it prints is a secret by design: stderr alone is looked through."""
    began = time.monotonic()
    done = subprocess.run(
        [str(COMMAND), "credentials", *map(str, words)],
        env=environment(env),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=120,
        user=user,
        extra_groups=[] if user is not None else None,
        cwd="/",
    )
    written.append(("fleet-agent credentials", done.stderr))
    return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def section(sandbox: Sandbox, **aliases: Sequence[str]) -> dict[str, Any]:
    """The configuration's section `credentials`."""
    return {
        "endpoint": sandbox.endpoint,
        "port": sandbox.credentials_port,
        "aliases": {name: {"allow": [*allow]} for name, allow in aliases.items()},
    }
