"""The policy documents and the template body, as values. Pure.

Least privilege throughout: no statement has a bare ``*``, a device reaches its own topics only, and a claim can
provision and nothing else.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence

from fleet_cloud.aws.names import CLAIM_CLIENT_PREFIX, Account, FleetNames
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import json_text
from fleet_cloud.plan.hook.registration import ATTRIBUTE, PARAMETER

TEMPLATE_CHARACTERS = 10240  # AWS's limit of a template body
POLICY_CHARACTERS = 2048  # AWS's limit of an IoT policy, white space not counted

# AWS fills this in from the registry at every use: the thing that this certificate is attached to.
THING = "${iot:Connection.Thing.ThingName}"
TELEMETRY_TOPIC = f"dt/{THING}/*"
ORDER_TOPIC = f"cmd/{THING}/*"
VENDING = "iot:AssumeRoleWithCertificate"

Document = Mapping[str, object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registry:
    """Where in the registry the fleet's things go: names, or nothing."""

    thing_type: str | None = None
    thing_group: str | None = None
    billing_group: str | None = None

    @classmethod
    def of(cls, body: object) -> "Registry":
        """Returns what a template's body names literally."""
        sections = body.get("Resources") if isinstance(body, Mapping) else None
        for resource in sections.values() if isinstance(sections, Mapping) else ():
            if isinstance(resource, Mapping) and resource.get("Type") == "AWS::IoT::Thing":
                found = resource.get("Properties")
                properties = found if isinstance(found, Mapping) else {}
                groups = properties.get("ThingGroups")
                return cls(
                    thing_type=_name(properties.get("ThingTypeName")),
                    thing_group=_name(groups[0]) if isinstance(groups, list) and groups else None,
                    billing_group=_name(properties.get("BillingGroup")),
                )
        return cls()

    def properties(self) -> dict[str, object]:
        """Returns the properties of a thing in a template."""
        return {
            **({"ThingTypeName": self.thing_type} if self.thing_type else {}),
            **({"ThingGroups": [self.thing_group]} if self.thing_group else {}),
            **({"BillingGroup": self.billing_group} if self.billing_group else {}),
        }


NOWHERE = Registry()


def trust_policy(account: Account) -> Document:
    """Returns who may assume the provisioning role: AWS IoT, and only on behalf of this account.

    Without the condition, somebody else's account could make AWS IoT act here with our role (confused deputy).
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "iot.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": account.number}},
            }
        ],
    }


def lambda_trust_policy() -> Document:
    """Returns who may assume the hook's role: Lambda, which does not say for which account it does."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }


def credentials_trust_policy() -> Document:
    """Returns who may assume a role for devices' programs: AWS IoT's credentials provider.

    AWS documents no condition key for it; one that it does not send would refuse every device.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "credentials.iot.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }


def allowing(action: str, arn: str) -> Document:
    """Returns an IAM policy that allows one action on one resource."""
    statement = {"Effect": "Allow", "Action": action, "Resource": arn}
    return {"Version": "2012-10-17", "Statement": [statement]}


def hook_policy(account: Account) -> Document:
    """Returns what the hook may do: look at things and their certificates, make a thing, and mark it.

    A template may name its things as it likes, so that all of the account's are reached.
    """
    things = account.iot("thing/*")
    kinds = ("thing/*", "thinggroup/*", "billinggroup/*", "thingtype/*")
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iot:DescribeThing", "iot:UpdateThing", "iot:ListThingPrincipals"],
                "Resource": things,
            },
            {
                "Effect": "Allow",
                "Action": ["iot:CreateThing", "iot:AddThingToThingGroup"],
                "Resource": [account.iot(kind) for kind in kinds],
            },
            {
                "Effect": "Allow",
                "Action": "iot:DescribeCertificate",
                "Resource": account.iot("cert/*"),
            },
            # AWS knows no resource for it.
            {"Effect": "Allow", "Action": "iot:ListPrincipalThings", "Resource": "*"},
        ],
    }


def assume_role_statement(account: Account, aliases: Sequence[str]) -> Document:
    """Returns the statement for AWS credentials. ``IsAttached``: only as the thing that the certificate belongs to."""
    return {
        "Effect": "Allow",
        "Action": VENDING,
        "Resource": [account.iot(f"rolealias/{alias}") for alias in aliases],
        "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
    }


def role_aliases(policy: object) -> list[str]:
    """Returns the role aliases that a device policy of ours allows."""
    statements = policy.get("Statement") if isinstance(policy, Mapping) else None
    return [
        resource.partition(":rolealias/")[2]
        for statement in (statements if isinstance(statements, list) else [])
        if isinstance(statement, Mapping) and statement.get("Action") == VENDING
        if isinstance(statement.get("Resource"), list)
        for resource in statement["Resource"]
        if isinstance(resource, str) and ":rolealias/" in resource
    ]


def claim_policy(account: Account, names: FleetNames) -> Document:
    """Returns what a claim may do: ask for a certificate, in both ways, and register with this fleet's template.

    ``create/*`` does not cover ``create-from-csr/*``: they are two entries. The client id is narrowed so that a
    leaked claim cannot disconnect a device by connecting under its name.
    """
    topics = provisioning_topics(names)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": account.iot(f"client/{CLAIM_CLIENT_PREFIX}*"),
            },
            allow(account, ["iot:Publish", "iot:Receive"], "topic", topics),
            allow(account, "iot:Subscribe", "topicfilter", topics),
        ],
    }


def template_body(
    names: FleetNames, registry: Registry = NOWHERE, *, remembers: bool = False
) -> Document:
    """Returns what AWS IoT makes of one device: a thing, its certificate, its policy.

    The device must send ``SerialNumber``; ``DeviceLocation`` has a default. All override settings are stated, since
    what AWS does without them to a thing that exists already is not documented. The certificate is the thing's alone
    (``EXCLUSIVE_THING``).

    Args:
        names: The fleet's.
        registry: Where its things go.
        remembers: What the hook says of a registration becomes an attribute of the thing.
    """
    asked = {PARAMETER: {"Type": "String"}} if remembers else {}
    kept = {ATTRIBUTE: {"Ref": PARAMETER}} if remembers else {}
    return {
        "Parameters": {
            "SerialNumber": {"Type": "String"},
            "DeviceLocation": {"Type": "String", "Default": "unknown"},
            "AWS::IoT::Certificate::Id": {"Type": "String"},
            **asked,
        },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Fn::Join": ["", [names.thing_prefix, {"Ref": "SerialNumber"}]]},
                    "AttributePayload": {
                        "serialNumber": {"Ref": "SerialNumber"},
                        "deviceLocation": {"Ref": "DeviceLocation"},
                        **kept,
                    },
                    **registry.properties(),
                },
                "OverrideSettings": {
                    "AttributePayload": "MERGE",
                    "ThingTypeName": "DO_NOTHING",
                    "ThingGroups": "DO_NOTHING",
                },
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                    "Status": "Active",
                    "ThingPrincipalType": "EXCLUSIVE_THING",
                },
                "OverrideSettings": {"Status": "REPLACE"},
            },
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": {"PolicyName": names.device_policy},
            },
        },
        "DeviceConfiguration": {},
    }


def compact(document: Document) -> str:
    """Returns a document as it is sent: AWS counts characters."""
    return json.dumps(document, separators=(",", ":"))


def parsed(text: str, *, of: str) -> object:
    """Reads a document as AWS gives it.

    Raises:
        FleetCloudError: It is not JSON.
    """
    try:
        return json_text.parsed(text)
    except ValueError as error:
        raise FleetCloudError(
            f"{of} is not JSON: {error}",
            remedy="check it with the command that --verbose shows",
            code="document-unreadable",
        ) from error


def differences(found: object, wanted: object, at: str = "") -> Iterator[str]:
    """Yields where two documents differ, as paths such as ``Statement[1].Resource``."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*found, *wanted}, key=str):
            yield from differences(
                found.get(key), wanted.get(key), f"{at}.{key}" if at else str(key)
            )
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for index, pair in enumerate(zip(found, wanted, strict=True)):
            yield from differences(*pair, f"{at}[{index}]")
    elif found != wanted:
        yield at or "everything"


def provisioning_topics(names: FleetNames) -> tuple[str, ...]:
    """Returns the topics that are published and subscribed to for a certificate and this fleet's template."""
    return (
        "$aws/certificates/create/*",
        "$aws/certificates/create-from-csr/*",
        f"$aws/provisioning-templates/{names.template}/provision/*",
    )


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def allow(
    account: Account, action: str | list[str], kind: str, topics: tuple[str, ...]
) -> dict[str, object]:
    """Returns a statement that allows these actions on topics, or on topic filters."""
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": [account.iot(f"{kind}/{topic}") for topic in topics],
    }
