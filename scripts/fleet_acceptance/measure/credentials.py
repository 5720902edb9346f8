"""AWS credentials for a certificate, from the credentials provider itself."""

import http.client
import json
import ssl
import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from fleet_acceptance.account import tags
from fleet_acceptance.device.mqtt import Identity, Server
from fleet_acceptance.errors import NotMeasuredError
from fleet_acceptance.measure.bench import Bench, moment

_SERIAL = "credentials"
_LONGEST_DELAY_SECONDS = 120.0
_HTTPS_PORT = 443
_LONG_TOKEN = 1900
_DONE = 200
_FACTS = ("delay", "token", "members", "policy", "thing", "inactive", "alias", "trust")


@dataclass(frozen=True)
class Answer:
    """What the provider said."""

    status: int
    document: Any


def measure(bench: Bench) -> None:
    """Measures all of it, with one thing, three role aliases and a role."""
    run = bench.run
    with run.measuring(*(f"credentials-{fact}" for fact in _FACTS)):
        server, thing, other = _server(bench), bench.thing(_SERIAL), bench.thing("unattached")
        aliases = {name: f"{run.id}-{name}" for name in ("good", "untrusted", "absent", "unnamed")}
        named = [f"rolealias/{aliases[name]}" for name in ("good", "untrusted", "absent")]
        policy = bench.policy(
            "bench-credentials", *(("AssumeRoleWithCertificate", n) for n in named)
        )
        for name in (thing, other):
            bench.iot.create_thing(thingName=name)
        device, certificate_id = bench.identity(_SERIAL, policy)
        arn = run.cloud.arn(f"cert/{certificate_id}")
        bench.iot.attach_thing_principal(thingName=thing, principal=arn)
        _make_aliases(bench, aliases)
        _delay(bench, server, device, thing, aliases["good"])
        asked = {
            "policy": (thing, aliases["unnamed"]),
            "thing": (other, aliases["good"]),
            "alias": (thing, aliases["absent"]),
            "trust": (thing, aliases["untrusted"]),
        }
        for fact, (who, alias) in asked.items():
            found = _ask(server, device, who, alias)
            run.record(f"credentials-{fact}", str(found.status), answer=found.document)
        _inactive(bench, server, device, certificate_id, aliases["good"])


def _server(bench: Bench) -> Server:
    found = bench.iot.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"]
    host, _, port = str(found).partition(":")
    return Server(host, int(port or _HTTPS_PORT), bench.run.server.ca_file)


def _make_aliases(bench: Bench, aliases: dict[str, str]) -> None:
    run, iam, role = bench.run, bench.run.cloud.client("iam"), f"{bench.run.id}-bench-vending"
    trusted = {
        "Effect": "Allow",
        "Principal": {"Service": "credentials.iot.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    iam.create_role(
        RoleName=role,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}),
        Tags=tags.mine(run.id),
    )
    roles = {"good": role, "unnamed": role, "untrusted": f"{run.id}-provisioning"}
    for name, its_role in roles.items():
        _patiently_make(bench, aliases[name], run.cloud.arn(f"role/{its_role}", "iam"))


def _patiently_make(bench: Bench, alias: str, role_arn: str) -> None:
    """Makes a role alias; a role that is new is not known everywhere yet."""
    until = time.monotonic() + 60.0
    while True:
        try:
            bench.iot.create_role_alias(
                roleAlias=alias,
                roleArn=role_arn,
                credentialDurationSeconds=3600,
                tags=tags.mine(bench.run.id),
            )
        except ClientError:
            if time.monotonic() > until:
                raise
            time.sleep(2.0)
        else:
            return


def _delay(bench: Bench, server: Server, device: Identity, thing: str, alias: str) -> None:
    """Asks until there are credentials."""
    run, began, tries = bench.run, time.monotonic(), []
    while (found := _ask(server, device, thing, alias)).status != _DONE:
        tries.append(f"{time.monotonic() - began:.1f} s: {found.status} {found.document}")
        if time.monotonic() - began > _LONGEST_DELAY_SECONDS:
            raise NotMeasuredError(tries[-1])
        time.sleep(1.0)
    seconds = time.monotonic() - began
    credentials = found.document["credentials"]
    run.redactor.learn(*(str(value) for value in credentials.values()))
    run.record("credentials-delay", moment(tries, seconds), seconds=seconds, refused=tries)
    length = len(credentials["sessionToken"])
    words = "under 1900" if length < _LONG_TOKEN else "1900 or more"
    run.record("credentials-token", words, characters=length)
    run.record("credentials-members", ", ".join(sorted(credentials)))


def _inactive(
    bench: Bench, server: Server, device: Identity, certificate_id: str, alias: str
) -> None:
    bench.iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    began = time.monotonic()
    while (found := _ask(server, device, "", alias)).status == _DONE:
        if time.monotonic() - began > bench.run.patience:
            break
        time.sleep(2.0)
    seconds = round(time.monotonic() - began, 1)
    document = found.document if found.status != _DONE else None
    bench.run.record("credentials-inactive", str(found.status), answer=document, seconds=seconds)


def _ask(server: Server, device: Identity, thing: str, alias: str) -> Answer:
    """Asks once, on a connection of its own."""
    context = ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)
    context.load_cert_chain(device.certificate, device.key)
    connection = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=20)
    headers = {"x-amzn-iot-thingname": thing} if thing else {}
    try:
        connection.request("GET", f"/role-aliases/{alias}/credentials", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    try:
        document = json.loads(body)
    except ValueError:
        document = body.decode(errors="replace")
    return Answer(answer.status, document)
