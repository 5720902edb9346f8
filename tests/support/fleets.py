"""Fleets on a sandbox: role, device policy, provisioning template, claim policy and claim certificate.

fleet = make_fleet(sandbox, tmp_path)
fleet.template, fleet.claim.certificate, fleet.claim.private_key
fleet.thing_name("A1")

make_fleet(sandbox, tmp_path, without=["subscribe create-from-csr"])
make_fleet(sandbox, tmp_path, device_without=["publish"])
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from iot_sandbox.launch import Sandbox
from support.aws import aws_client

ROLE = "fleet-provisioning"
MANAGED_POLICY = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"
THING = "${iot:Connection.Thing.ThingName}"

Statement = dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """A claim certificate on disk.

    Attributes:
        certificate_id: 64 hex digits.
        certificate: PEM file.
        private_key: PEM file, 0600.
    """

    certificate_id: str
    certificate: Path
    private_key: Path


@dataclass(frozen=True)
class Fleet:
    """What a device needs to provision, and what the cloud calls it.

    Attributes:
        sandbox: where it lives.
        name: prefix of everything below.
        template: provisioning template; takes SerialNumber and, optionally, DeviceLocation.
        device_policy: IoT policy each device gets.
        claim_policy: IoT policy of the claim.
        claim: the claim certificate.
    """

    sandbox: Sandbox
    name: str
    template: str
    device_policy: str
    claim_policy: str
    claim: Claim

    def thing_name(self, serial_number: str) -> str:
        """Gives the name of the thing a serial number becomes."""
        return f"{self.name}-{serial_number}"

    @property
    def iot(self) -> Any:
        """A botocore client of AWS IoT."""
        return aws_client(self.sandbox, "iot")

    def things(self) -> list[str]:
        """Gives the names of the fleet's things."""
        pages = self.iot.get_paginator("list_things").paginate()
        names = [thing["thingName"] for page in pages for thing in page["things"]]
        return sorted(name for name in names if name.startswith(f"{self.name}-"))

    def certificate_ids(self, thing_name: str) -> list[str]:
        """Gives the ids of the certificates attached to a thing."""
        principals = self.iot.list_thing_principals(thingName=thing_name)["principals"]
        return [arn.rpartition("/")[2] for arn in principals]

    def certificate_status(self, certificate_id: str) -> str | None:
        """Gives ``ACTIVE``, ``PENDING_ACTIVATION`` and so on; None if it does not exist."""
        try:
            found = self.iot.describe_certificate(certificateId=certificate_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None
        status: str = found["certificateDescription"]["status"]
        return status

    def set_enabled(self, *, enabled: bool) -> None:
        """Enables or disables the template."""
        self.iot.update_provisioning_template(templateName=self.template, enabled=enabled)


def claim_statements(template: str, arn: str) -> dict[str, Statement]:
    """Gives a claim policy's statements by name.

    ``connect``, and each of ``publish``, ``receive``, ``subscribe`` with each of ``create-keys``,
    ``create-from-csr``, ``register-thing``: ``"subscribe create-from-csr"``.
    """
    topics = {
        "create-keys": "$aws/certificates/create/*",
        "create-from-csr": "$aws/certificates/create-from-csr/*",
        "register-thing": f"$aws/provisioning-templates/{template}/provision/*",
    }
    statements = {"connect": _allow("iot:Connect", f"{arn}:client/*")}
    for operation, topic in topics.items():
        statements[f"publish {operation}"] = _allow("iot:Publish", f"{arn}:topic/{topic}")
        statements[f"receive {operation}"] = _allow("iot:Receive", f"{arn}:topic/{topic}")
        statements[f"subscribe {operation}"] = _allow(
            "iot:Subscribe", f"{arn}:topicfilter/{topic}"
        )
    return statements


def device_statements(arn: str) -> dict[str, Statement]:
    """Gives a device policy's statements by name: ``connect``, ``publish``, ``receive``, ``subscribe``.

    A thing may publish below ``dt/THING/`` and hear what is published below ``cmd/THING/``.
    """
    return {
        "connect": _allow("iot:Connect", f"{arn}:client/{THING}"),
        "publish": _allow("iot:Publish", f"{arn}:topic/dt/{THING}/*"),
        "receive": _allow("iot:Receive", f"{arn}:topic/cmd/{THING}/*"),
        "subscribe": _allow("iot:Subscribe", f"{arn}:topicfilter/cmd/{THING}/*"),
    }


def template_body(name: str, device_policy: str, **changes: Any) -> dict[str, Any]:
    """Gives a template as a fleet's owner would write it; ``changes`` replace top-level sections."""
    return {
        "Parameters": {
            "SerialNumber": {"Type": "String"},
            "DeviceLocation": {"Type": "String", "Default": "unknown"},
        },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Fn::Join": ["-", [name, {"Ref": "SerialNumber"}]]},
                    "AttributePayload": {"serial": {"Ref": "SerialNumber"}},
                },
                "OverrideSettings": {"AttributePayload": "MERGE"},
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                    "Status": "Active",
                },
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": device_policy}},
        },
        "DeviceConfiguration": {"Location": {"Ref": "DeviceLocation"}},
        **changes,
    }


def make_fleet(
    sandbox: Sandbox,
    directory: Path,
    *,
    without: Iterable[str] = (),
    device_without: Iterable[str] = (),
    enabled: bool = True,
    template: dict[str, Any] | None = None,
) -> Fleet:
    """Makes a fleet nobody else uses; 0.1 s.

    Args:
        sandbox: where.
        directory: gets ``claim.certificate.pem.crt`` and ``claim.private.pem.key``.
        without: claim statements to leave out, see ``claim_statements``.
        device_without: device statements to leave out, see ``device_statements``.
        enabled: whether the template is.
        template: sections to replace in the template, see ``template_body``.
    """
    iot = aws_client(sandbox, "iot")
    name = f"fleet{uuid.uuid4().hex[:8]}"
    role, account = _role(sandbox)
    arn = f"arn:aws:iot:{sandbox.region}:{account}"
    claim_policy, device_policy = f"{name}-claim", f"{name}-device"
    _policy(iot, device_policy, device_statements(arn), device_without)
    iot.create_provisioning_template(
        templateName=name,
        templateBody=json.dumps(template_body(name, device_policy, **(template or {}))),
        provisioningRoleArn=role,
        enabled=enabled,
    )
    _policy(iot, claim_policy, claim_statements(name, arn), without)
    claim = make_claim(sandbox, directory, claim_policy)
    return Fleet(sandbox, name, name, device_policy, claim_policy, claim)


def make_claim(sandbox: Sandbox, directory: Path, claim_policy: str) -> Claim:
    """Makes an active claim certificate with a policy; ``directory`` gets its two files."""
    iot = aws_client(sandbox, "iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=claim_policy, target=made["certificateArn"])
    pair = made["certificatePem"], made["keyPair"]["PrivateKey"]
    return _write_claim(directory, made["certificateId"], *pair)


def make_unbound(sandbox: Sandbox, directory: Path) -> Claim:
    """Makes a certificate that may do everything; ``directory`` gets its two files."""
    iot = aws_client(sandbox, "iot")
    document = json.dumps({"Version": "2012-10-17", "Statement": [_allow("iot:*", "*")]})
    # Shared by all that ask the same sandbox.
    with contextlib.suppress(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_policy(policyName="everything", policyDocument=document)
    return make_claim(sandbox, directory, "everything")


def make_temporary_claim(fleet: Fleet, directory: Path) -> Claim:
    """Makes a claim of five minutes, as ``create-provisioning-claim`` does."""
    made = fleet.iot.create_provisioning_claim(templateName=fleet.template)
    pair = made["certificatePem"], made["keyPair"]["PrivateKey"]
    return _write_claim(directory, made["certificateId"], *pair)


def _write_claim(directory: Path, certificate_id: str, certificate: str, key: str) -> Claim:
    directory.mkdir(parents=True, exist_ok=True)
    files = directory / "claim.certificate.pem.crt", directory / "claim.private.pem.key"
    files[0].write_text(certificate)
    with os.fdopen(os.open(files[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(key)
    return Claim(certificate_id, *files)


def _role(sandbox: Sandbox) -> tuple[str, str]:
    """Gives the ARN of the provisioning role, made on first use, and the account id."""
    iam = aws_client(sandbox, "iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "iot.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    try:
        role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        iam.attach_role_policy(RoleName=ROLE, PolicyArn=MANAGED_POLICY)
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=ROLE)["Role"]
    return role["Arn"], role["Arn"].split(":")[4]


def _policy(iot: Any, name: str, statements: dict[str, Statement], without: Iterable[str]) -> None:
    left_out = set(without)
    assert left_out <= set(statements), f"no such statement: {left_out - set(statements)}"
    kept = [statement for key, statement in statements.items() if key not in left_out]
    document = {"Version": "2012-10-17", "Statement": kept or [_deny_nothing()]}
    iot.create_policy(policyName=name, policyDocument=json.dumps(document))


def _allow(action: str, resource: str) -> Statement:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def _deny_nothing() -> Statement:
    return {"Effect": "Deny", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/nobody"}


def allow_rotation(fleet: Fleet) -> None:
    """What `fleet-cloud up --rotation` adds to the device policy."""
    topics = ["$aws/certificates/create-from-csr/*", "$aws/certificates/create/*"]
    topics += [f"$aws/provisioning-templates/{fleet.template}/provision/*"]
    _allow_topics(fleet, *topics, f"$aws/things/{THING}/jobs/*")


def allow_orders(fleet: Fleet) -> None:
    """The rights that jobs and commands take, and messages that no subscription asks for."""
    commands = f"$aws/commands/things/{THING}/executions/*"
    _allow_topics(fleet, f"$aws/things/{THING}/jobs/*", commands, f"direct/{THING}/*")


def _allow_topics(fleet: Fleet, *topics: str) -> None:
    found = fleet.iot.get_policy(policyName=fleet.device_policy)
    document = json.loads(found["policyDocument"])
    arn = document["Statement"][0]["Resource"].partition(":client/")[0]
    for action, kind in (("Publish", "topic"), ("Receive", "topic"), ("Subscribe", "topicfilter")):
        resources = [f"{arn}:{kind}/{topic}" for topic in topics]
        document["Statement"].append(
            {"Effect": "Allow", "Action": f"iot:{action}", "Resource": resources}
        )
    fleet.iot.create_policy_version(
        policyName=fleet.device_policy, policyDocument=json.dumps(document), setAsDefault=True
    )
