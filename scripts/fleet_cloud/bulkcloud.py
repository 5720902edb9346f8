"""What bulk registration needs in the cloud: role, policy, bucket, thing type; and the template of one thing."""

import dataclasses
import hashlib
import re

from fleet_cloud import documents, registry, resources
from fleet_cloud.aws import Aws
from fleet_cloud.documents import Document, Registry
from fleet_cloud.names import Account, FleetNames
from fleet_cloud.resources import Resource

INLINE = "read-parameters"
_SLUG_CHARACTERS = 20  # so that a bucket's name, with account and region, stays within 63


@dataclasses.dataclass(frozen=True)
class BulkNames:
    """The names that belong to bulk registration of one fleet."""

    names: FleetNames
    account: Account

    @property
    def role(self) -> str:
        """The role that AWS IoT takes to read the parameters and to register."""
        return f"{self.names.fleet}-bulk"

    @property
    def policy(self) -> str:
        """What a registered thing may do."""
        return f"{self.names.fleet}-bulk"

    @property
    def bucket(self) -> str:
        """Where the parameters lie; buckets allow fewer characters than fleets and are the world's."""
        fleet = self.names.fleet
        slug = re.sub("[^0-9a-z-]", "-", fleet.lower())[:_SLUG_CHARACTERS]
        if slug != fleet:
            slug += f"-{hashlib.sha256(fleet.encode()).hexdigest()[:6]}"
        return f"{slug}-bulk-{self.account.number}-{self.account.region}"


def needed(aws: Aws, bulk: BulkNames, thing_type: str) -> list[Resource]:
    """Return everything, in the order in which it is made."""
    account, names = bulk.account, bulk.names
    trust = documents.trust_policy(account)
    return [
        resources.any_role(aws, names, "bulk role", account.role(bulk.role), trust),
        resources.role_policy(aws, bulk.role, account.registration_policy),
        resources.inline_policy(
            aws,
            bulk.role,
            INLINE,
            "s3:GetObject",
            f"arn:{account.partition}:s3:::{bulk.bucket}/*",
        ),
        resources.policy(
            aws, names, "thing policy", bulk.policy, documents.device_policy(account)
        ),
        *registry.of_fleet(aws, names, Registry(thing_type=thing_type or None)),
        _bucket(aws, bulk),
    ]


def template(bulk: BulkNames, thing_type: str, *, shared: bool) -> Document:
    """Return the template of one thing; its parameters are ``ThingName``, and ``CSR`` or ``CertificateId``."""
    certificate = "CertificateId" if shared else "CertificateSigningRequest"
    parameter = "CertificateId" if shared else "CSR"
    return {
        "Parameters": {"ThingName": {"Type": "String"}, parameter: {"Type": "String"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Ref": "ThingName"},
                    "ThingTypeName": thing_type,
                    "AttributePayload": {"fleet": bulk.names.fleet},
                },
                "OverrideSettings": {
                    "AttributePayload": "MERGE",
                    "ThingTypeName": "REPLACE",
                    "ThingGroups": "DO_NOTHING",
                },
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {certificate: {"Ref": parameter}, "Status": "ACTIVE"},
                "OverrideSettings": {"Status": "REPLACE"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": bulk.policy}},
        },
    }


def _bucket(aws: Aws, bulk: BulkNames) -> Resource:
    named = ["--bucket", bulk.bucket]
    region = bulk.account.region
    # The oldest region must not be named.
    place = (
        []
        if region == "us-east-1"
        else ["--create-bucket-configuration", f"LocationConstraint={region}"]
    )
    return Resource(
        kind="bucket",
        name=bulk.bucket,
        read=aws.command("s3api", "get-bucket-location", *named),
        facts=lambda _: {},
        wanted={},
        create=aws.command("s3api", "create-bucket", *named, *place),
        mend={},
    )
