"""Somebody's own template: what is told before AWS is asked."""

import json
from typing import Any

import pytest

from fleet_cloud.aws.names import FleetNames
from fleet_cloud.plan import documents, template_check


def body() -> Any:
    return json.loads(documents.compact(documents.template_body(FleetNames("fleet"))))


def problems_of(changed: object, *, allow_wildcard: bool = False) -> list[str]:
    read, found = template_check.read(json.dumps(changed))
    assert read is not None
    return [*found, *template_check.problems(read, allow_wildcard=allow_wildcard)]


def test_own_template_that_is_right_has_no_problems() -> None:
    assert problems_of(body()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', "'a' appears twice"),
        (json.dumps({"a": "x" * 10240}), "AWS allows 10240"),
    ],
)
def test_text_that_cannot_be_a_body_is_told(text: str, words: str) -> None:
    (problem,) = template_check.read(text)[1]
    assert words in problem


def test_all_faults_are_told_at_once_with_their_place() -> None:
    wrong = body()
    wrong["Outputs"] = {}
    wrong["Parameters"]["Size"] = {"Type": "Number"}
    resources = wrong["Resources"]
    resources["thing"]["Properties"]["ThingName"] = {"Fn::GetAtt": ["a", "b"]}
    resources["thing"]["Properties"]["BillingGroup"] = {"Ref": "AWS::Region"}
    resources["certificate"]["Properties"] = {"CertificateSigningRequest": {"Ref": "CSR"}}
    resources["policy"]["Properties"]["PolicyDocument"] = {}
    resources["bucket"] = {"Type": "AWS::S3::Bucket"}
    wrong["Mappings"] = {"a": {"b": {"Ref": "SerialNumber"}}}
    wrong["DeviceConfiguration"] = {"nested": {"a": "b"}}
    found = problems_of(wrong)
    for words in (
        "section 'Outputs'",
        "Parameters.Size",
        "Resources.thing.Properties.ThingName: Fn::GetAtt",
        "'AWS::Region', which Parameters does not declare",
        "Resources.certificate: CertificateId must be",
        "CertificateSigningRequest does not work",
        "Resources.policy: must have either",
        "Resources.bucket: its Type",
        "Mappings: functions",
        "DeviceConfiguration.nested",
    ):
        assert any(words in problem for problem in found), words


@pytest.mark.parametrize("as_text", [False, True])
def test_policy_that_allows_everything_is_refused_unless_it_is_asked_for(*, as_text: bool) -> None:
    document: object = {"Statement": {"Effect": "Allow", "Action": ["iot:*"], "Resource": "*"}}
    wide = body()
    wide["Resources"]["policy"]["Properties"] = {
        "PolicyDocument": json.dumps(document) if as_text else document
    }
    assert [problem.split(":")[0] for problem in problems_of(wide)] == [
        "Resources.policy.PolicyDocument.Statement[0].Action",
        "Resources.policy.PolicyDocument.Statement[0].Resource",
    ]
    assert problems_of(wide, allow_wildcard=True) == []


@pytest.mark.parametrize(
    "name", ["claim-x", {"Fn::Join": ["", ["claim-", {"Ref": "SerialNumber"}]]}]
)
def test_template_whose_things_have_the_client_ids_of_claims_is_refused(name: object) -> None:
    changed = body()
    changed["Resources"]["thing"]["Properties"]["ThingName"] = name
    assert any("begins with claim-" in problem for problem in problems_of(changed))


def test_template_without_a_certificate_is_no_template() -> None:
    without = body()
    del without["Resources"]["certificate"]
    assert "there are 0" in problems_of(without)[0]
