"""The policy documents and the template, word for word: a change here is a change of what devices may do."""

import dataclasses
import json

import pytest

from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.plan import documents, rights
from fleet_cloud.plan.rights import Rights, RightsFlags

ACCOUNT = Account(partition="aws", number="123456789012", region="eu-west-1")
NAMES = FleetNames("fleet")
IOT = "arn:aws:iot:eu-west-1:123456789012"
THING = "${iot:Connection.Thing.ThingName}"

# The longest names there are.
BIGGEST = Account(partition="aws-us-gov", number="9" * 12, region="ap-northeast-99")
LONGEST = FleetNames("n" * 36)
ALL = Rights(rotation=True, jobs=True, commands=True)
SOME = Rights(rotation=True), Rights(rotation=True, jobs=True), Rights(jobs=True, commands=True)


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
    assert rights.device_policy(ACCOUNT, NAMES) == {
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
        rights.device_policy(BIGGEST, LONGEST),
        *(rights.device_policy(BIGGEST, LONGEST, each) for each in SOME),
        rights.device_policy(ACCOUNT, LONGEST, ALL),
        documents.claim_policy(BIGGEST, LONGEST),
    )
    for policy in policies:
        assert len(documents.compact(policy)) <= documents.POLICY_CHARACTERS
    template = documents.compact(documents.template_body(LONGEST))
    assert len(template) <= documents.TEMPLATE_CHARACTERS


def test_rotation_adds_provisioning_and_the_things_own_jobs() -> None:
    plain = rights.device_policy(ACCOUNT, NAMES)
    rotating = rights.device_policy(ACCOUNT, NAMES, Rights(rotation=True))
    (before, after) = (
        json.loads(documents.compact(each))["Statement"] for each in (plain, rotating)
    )
    assert before[0] == after[0]
    for kind, had, has in (("topic", before[1], after[1]), ("topicfilter", before[2], after[2])):
        assert [each for each in has["Resource"] if each not in had["Resource"]] == [
            f"{IOT}:{kind}/$aws/certificates/create/*",
            f"{IOT}:{kind}/$aws/certificates/create-from-csr/*",
            f"{IOT}:{kind}/$aws/provisioning-templates/fleet/provision/*",
            f"{IOT}:{kind}/$aws/things/{THING}/jobs/*",
        ]


def test_jobs_and_commands_are_the_things_own_and_orders_are_only_heard() -> None:
    policy = rights.device_policy(ACCOUNT, NAMES, Rights(jobs=True, commands=True))
    _, both, subscribe, receive = json.loads(documents.compact(policy))["Statement"]
    executions = f"$aws/commands/things/{THING}/executions"
    jobs = f"$aws/things/{THING}/jobs/*"
    assert both["Resource"][1:] == [
        f"{IOT}:topic/{jobs}",
        f"{IOT}:topic/{executions}/*/response/*",
    ]
    assert subscribe["Resource"][2:] == [
        f"{IOT}:topicfilter/{jobs}",
        f"{IOT}:topicfilter/{executions}/+/re*",
    ]
    assert receive["Resource"][1:] == [f"{IOT}:topic/{executions}/*/request*"]


@pytest.mark.parametrize(
    "has",
    [
        Rights(rotation=a, jobs=b, commands=c)
        for a in (False, True)
        for b in (False, True)
        for c in (False, True)
    ],
)
def test_what_devices_may_is_found_again_in_their_policy(has: Rights) -> None:
    policy = json.loads(documents.compact(rights.device_policy(ACCOUNT, NAMES, has)))
    assert rights.found_in(policy, ACCOUNT) == has
    # Taken back one by one, the others stay.
    assert RightsFlags(rotation=False).over(has) == dataclasses.replace(has, rotation=False)
    assert RightsFlags().over(has) == has


@pytest.mark.parametrize(
    "policy", ["no policy", None, {}, {"Statement": ["x", {"Resource": "*"}]}]
)
def test_another_policy_has_none_of_our_rights(policy: object) -> None:
    assert rights.found_in(policy, ACCOUNT) == rights.LEAST


def test_no_document_allows_everything() -> None:
    policies = (rights.device_policy(ACCOUNT, NAMES, each) for each in (rights.LEAST, *SOME, ALL))
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
