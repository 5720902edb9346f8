"""The policy documents and the template, word for word: a change here is a change of what devices may do."""

import json

import pytest

from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.plan import documents

ACCOUNT = Account(partition="aws", number="123456789012", region="eu-west-1")
NAMES = FleetNames("fleet")
IOT = "arn:aws:iot:eu-west-1:123456789012"
THING = "${iot:Connection.Thing.ThingName}"

# The longest names there are.
BIGGEST = Account(partition="aws-us-gov", number="9" * 12, region="ap-northeast-99")
LONGEST = FleetNames("n" * 36)


def test_trust_policy_lets_aws_iot_act_for_this_account_only() -> None:
    assert documents.trust_policy(ACCOUNT) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "iot.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
            }
        ],
    }


def test_device_policy_reaches_the_devices_own_topics_only() -> None:
    assert documents.device_policy(ACCOUNT) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": f"{IOT}:client/{THING}",
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [f"{IOT}:topic/dt/{THING}/*"],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [
                    f"{IOT}:topicfilter/dt/{THING}/*",
                    f"{IOT}:topicfilter/cmd/{THING}/*",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Receive",
                "Resource": [f"{IOT}:topic/cmd/{THING}/*"],
            },
        ],
    }


def test_claim_policy_allows_provisioning_in_both_ways_and_nothing_else() -> None:
    topics = [
        "$aws/certificates/create/*",
        "$aws/certificates/create-from-csr/*",
        "$aws/provisioning-templates/fleet/provision/*",
    ]
    assert documents.claim_policy(ACCOUNT, NAMES) == {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{IOT}:client/claim-*"},
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [f"{IOT}:topic/{topic}" for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{IOT}:topicfilter/{topic}" for topic in topics],
            },
        ],
    }


def test_template_makes_a_thing_that_has_its_certificate_alone() -> None:
    assert documents.template_body(NAMES) == {
        "Parameters": {
            "SerialNumber": {"Type": "String"},
            "DeviceLocation": {"Type": "String", "Default": "unknown"},
            "AWS::IoT::Certificate::Id": {"Type": "String"},
        },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Fn::Join": ["", ["fleet-", {"Ref": "SerialNumber"}]]},
                    "AttributePayload": {
                        "serialNumber": {"Ref": "SerialNumber"},
                        "deviceLocation": {"Ref": "DeviceLocation"},
                    },
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
                "Properties": {"PolicyName": "fleet-device"},
            },
        },
        "DeviceConfiguration": {},
    }


def test_everything_fits_aws_limits_with_the_longest_names() -> None:
    policies = (
        documents.device_policy(BIGGEST),
        documents.device_policy(BIGGEST, LONGEST),
        documents.claim_policy(BIGGEST, LONGEST),
    )
    for policy in policies:
        assert len(documents.compact(policy)) <= documents.POLICY_CHARACTERS
    template = documents.compact(documents.template_body(LONGEST))
    assert len(template) <= documents.TEMPLATE_CHARACTERS


def test_rotation_adds_provisioning_and_the_things_own_jobs() -> None:
    plain, rotating = documents.device_policy(ACCOUNT), documents.device_policy(ACCOUNT, NAMES)
    (before, after) = (
        json.loads(documents.compact(one))["Statement"] for one in (plain, rotating)
    )
    assert before[0] == after[0]
    for kind, had, has in (("topic", before[1], after[1]), ("topicfilter", before[2], after[2])):
        assert [one for one in has["Resource"] if one not in had["Resource"]] == [
            f"{IOT}:{kind}/$aws/certificates/create/*",
            f"{IOT}:{kind}/$aws/certificates/create-from-csr/*",
            f"{IOT}:{kind}/$aws/provisioning-templates/fleet/provision/*",
            f"{IOT}:{kind}/$aws/things/{THING}/jobs/*",
        ]
    assert documents.lets_rotate(rotating, ACCOUNT)
    assert not documents.lets_rotate(plain, ACCOUNT)
    assert not documents.lets_rotate("no policy", ACCOUNT)


def test_no_document_allows_everything() -> None:
    policies = documents.device_policy(ACCOUNT), documents.device_policy(ACCOUNT, NAMES)
    for document in (*policies, documents.claim_policy(ACCOUNT, NAMES)):
        assert '"*"' not in documents.compact(document)
        assert "client/*" not in documents.compact(document)


@pytest.mark.parametrize(
    ("found", "wanted", "paths"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, []),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ["a[1].b"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": 1, "c": 1}, {"b": 1, "c": 1}, ["a", "b"]),
        ("x", {"a": 1}, ["everything"]),
    ],
)
def test_differences_are_named_by_their_path(
    found: object, wanted: object, paths: list[str]
) -> None:
    assert list(documents.differences(found, wanted)) == paths


def test_order_of_keys_is_no_difference() -> None:
    document = documents.template_body(NAMES)
    reordered = json.loads(json.dumps(document, sort_keys=True))
    assert list(documents.differences(reordered, document)) == []
