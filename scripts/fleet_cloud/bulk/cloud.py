"""What bulk registration needs in the cloud: role, policy, bucket, thing type; and the template of one thing."""

from fleet_cloud.aws.calls import Answer, Aws, entries
from fleet_cloud.aws.names import BulkNames
from fleet_cloud.plan import documents, registry, resources, rights
from fleet_cloud.plan.documents import Document, Registry
from fleet_cloud.plan.resources import Facts, Resource
from fleet_cloud.plan.teardown import Piece

INLINE = "read-parameters"
ATTRIBUTE = "fleet"  # of a thing: which fleet's bulk registration made it


def prerequisites(aws: Aws, bulk: BulkNames, thing_type: str) -> list[Resource]:
    """Returns everything, in the order in which it is created."""
    account, names = bulk.account, bulk.names
    trust = documents.trust_policy(account)
    return [
        resources.any_role(aws, names, "bulk role", account.role(bulk.role), trust),
        resources.role_policy(aws, bulk.role, account.registration_policy),
        resources.inline_policy(
            aws,
            bulk.role,
            INLINE,
            documents.allowing("s3:GetObject", f"arn:{account.partition}:s3:::{bulk.bucket}/*"),
        ),
        resources.policy(
            aws, names, "thing policy", bulk.policy, rights.device_policy(account, names)
        ),
        *registry.of_fleet(aws, names, Registry(thing_type=thing_type or None)),
        *_bucket(aws, bulk),
    ]


def template(bulk: BulkNames, thing_type: str, *, shared: bool) -> Document:
    """Returns the template of one thing; its parameters are ``ThingName``, and ``CSR`` or ``CertificateId``."""
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
                    "AttributePayload": {ATTRIBUTE: bulk.names.fleet},
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


def bucket_piece(aws: Aws, bulk: BulkNames) -> Piece:
    """Returns the bucket, to be deleted when it is empty."""
    named = ["--bucket", bulk.bucket]
    return Piece(
        kind="bucket",
        name=bulk.bucket,
        read=aws.command("s3api", "get-bucket-location", *named),
        tags=aws.command("s3api", "get-bucket-tagging", *named),
        delete=[aws.command("s3api", "delete-bucket", *named)],
    )


def _bucket(aws: Aws, bulk: BulkNames) -> list[Resource]:
    named = ["--bucket", bulk.bucket]
    region = bulk.account.region
    # AWS does not accept the name of its oldest region here.
    place = (
        []
        if region == "us-east-1"
        else ["--create-bucket-configuration", f"LocationConstraint={region}"]
    )
    marks = resources.marks(bulk.names)
    tag_set = [{"Key": key, "Value": value} for key, value in marks.items()]
    tagging = documents.compact({"TagSet": tag_set})

    def tags(answer: Answer) -> Facts | None:
        found = {entry.get("Key"): entry.get("Value") for entry in entries(answer, "TagSet")}
        return {} if marks.items() <= found.items() else None

    return [
        Resource(
            kind="bucket",
            name=bulk.bucket,
            read=aws.command("s3api", "get-bucket-location", *named),
            facts=lambda _: {},
            wanted={},
            create=aws.command("s3api", "create-bucket", *named, *place),
            fixes={},
        ),
        Resource(
            kind="bucket tags",
            name=bulk.bucket,
            read=aws.command("s3api", "get-bucket-tagging", *named),
            facts=tags,
            wanted={},
            create=aws.command("s3api", "put-bucket-tagging", *named, "--tagging", tagging),
            fixes={},
        ),
    ]
