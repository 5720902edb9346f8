"""What AWS says, what is told about it. The texts are what version 1 and 2 of the CLI print."""

import json
import re

import pytest

from fleet_cloud.aws.causes import NOT_YET, TABLE, error_code, explain

CALLING = "An error occurred ({}) when calling the {} operation: {}"
ROLE_NEW = CALLING.format(
    "InvalidRequestException",
    "CreateProvisioningTemplate",
    "The provisioning role cannot be assumed by AWS IoT",
)

SAID = {
    "no-credentials": 'Unable to locate credentials. You can configure credentials by running "aws configure".',
    "unknown-profile": "The config profile (nope) could not be found",
    "broken-configuration": "Unable to parse config file: /home/me/.aws/config",
    "no-memory": "botocore does not understand the answer: MemoryError",
    "ExpiredToken": CALLING.format("ExpiredToken", "GetRole", "The security token is expired"),
    "credentials-expired": "Error when retrieving token from sso: Token has expired and refresh failed",
    "SignatureDoesNotMatch": CALLING.format(
        "SignatureDoesNotMatch", "GetRole", "Signature expired: 1"
    ),
    "InvalidClientTokenId": CALLING.format("InvalidClientTokenId", "GetCallerIdentity", "invalid"),
    "no-region": "You must specify a region. You can also configure your region by running ...",
    "unreachable": 'Could not connect to the endpoint URL: "https://iot.eu-west-9.amazonaws.com/x"',
    "endpoint-url": 'Bad value for --endpoint-url "ftp": scheme is missing.',
    "tls": "SSL validation failed for https://x/ [SSL: CERTIFICATE_VERIFY_FAILED]",
    "ThrottlingException": CALLING.format("ThrottlingException", "GetPolicy", "Rate exceeded"),
    "InvalidRequestException": ROLE_NEW,
    "LimitExceededException": CALLING.format("LimitExceededException", "CreatePolicy", "too many"),
    "MalformedPolicyException": CALLING.format("MalformedPolicyException", "CreatePolicy", "no"),
    "ServiceUnavailableException": CALLING.format("ServiceUnavailableException", "GetPolicy", ""),
    "ResourceNotFoundException": CALLING.format(
        "ResourceNotFoundException", "CreateJob", "Thing pump-8 cannot be found."
    ),
    "old-cli": "Unknown options: --enabled",
}


@pytest.mark.parametrize(("code", "said"), SAID.items())
def test_known_failure_has_a_cause_and_a_next_step(code: str, said: str) -> None:
    known = explain(said, "iot")
    assert known.code == code
    assert known.cause
    assert known.remedy


def test_every_row_of_the_table_is_reached_by_some_words() -> None:
    reached = {explain(said, "iot").cause for said in SAID.values()}
    reached.add(explain(CALLING.format("404", "GetRole", "Not Found"), "iam").cause)
    assert [row.code for row in TABLE if row.cause not in reached] == []


def test_remedy_names_the_profile() -> None:
    assert "--profile nope" in explain(SAID["unknown-profile"], "iot").remedy


def test_wrong_clock_is_told_as_such_though_the_code_says_signature() -> None:
    assert "clock" in explain(SAID["SignatureDoesNotMatch"], "iam").cause


def test_missing_permission_is_told_as_the_statement_to_add() -> None:
    said = CALLING.format(
        "AccessDenied",
        "CreateProvisioningTemplate",
        "User: arn:aws:iam::1:user/me is not authorized to perform: iam:PassRole on resource: "
        "arn:aws:iam::1:role/fleet-provisioning because no identity-based policy allows it",
    )
    known = explain(said, "iot")
    assert known.cause == "these credentials may not iam:PassRole"
    assert json.loads(known.remedy[known.remedy.index("{") :]) == {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": "arn:aws:iam::1:role/fleet-provisioning",
    }


@pytest.mark.parametrize(
    "where", ["", " on resource: *", " on resource: arn:aws:iot:r:1:policy/*"]
)
def test_statement_is_never_wider_than_what_was_refused(where: str) -> None:
    refused = f"User: x is not authorized to perform: iot:DeletePolicy{where}"
    known = explain(CALLING.format("AccessDeniedException", "DeletePolicy", refused), "iot")
    assert "iot:DeletePolicy" in known.remedy
    assert "*" not in known.remedy
    assert '"Resource"' not in known.remedy


def test_profile_in_a_command_to_type_is_quoted() -> None:
    said = "The config profile (a; rm -rf ~) could not be found"
    assert "--profile 'a; rm -rf ~'" in explain(said, "iot").remedy


def test_missing_permission_without_details_is_derived_from_the_call() -> None:
    said = CALLING.format("AccessDeniedException", "CreatePolicy", "Access denied")
    assert "iot:CreatePolicy" in explain(said, "iot").cause


def test_unknown_failure_keeps_awss_code_and_claims_no_cause() -> None:
    known = explain(CALLING.format("TeapotException", "GetPolicy", "short and stout"), "iot")
    assert (known.code, known.cause) == ("TeapotException", "")


def test_code_is_found_behind_the_retries() -> None:
    said = (
        "An error occurred (Throttling) when calling the GetRole operation "
        "(reached max retries: 4): Rate exceeded"
    )
    assert error_code(said) == "Throttling"
    assert error_code("Unable to locate credentials") is None


@pytest.mark.parametrize(
    ("said", "is_worth_waiting"),
    [
        (ROLE_NEW, True),
        (CALLING.format("NoSuchEntity", "AttachRolePolicy", "no role"), True),
        (CALLING.format("NoSuchEntity", "GetRole", "no role"), False),
        (CALLING.format("InvalidRequestException", "CreatePolicy", "bad"), False),
    ],
)
def test_only_what_heals_by_itself_is_waited_for(said: str, is_worth_waiting: bool) -> None:
    assert bool(re.search(NOT_YET, said)) == is_worth_waiting
