import pytest

from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import FleetCloudError, UsageError


def test_all_names_derive_from_the_fleets() -> None:
    names = FleetNames("bins")
    assert (names.template, names.role) == ("bins", "bins-provisioning")
    assert (names.device_policy, names.claim_policy) == ("bins-device", "bins-claim")
    assert names.thing_prefix == "bins-"


@pytest.mark.parametrize("name", ["f", "a_b-C9", "n" * 36, "0fleet"])
def test_name_within_the_templates_characters_is_taken(name: str) -> None:
    assert FleetNames(name).template == name


@pytest.mark.parametrize("name", ["", "n" * 37, "-f", "_f", "a b", "a.b", "ä", "a/b", "f\n", "$x"])
def test_other_name_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        FleetNames(name)
    assert "1 to 36 of the characters" in refused.value.remedy


def test_account_and_partition_come_from_the_callers_arn() -> None:
    arn = "arn:aws-cn:sts::123456789012:assumed-role/ops/me"
    account = Account.of_caller(arn, "cn-north-1")
    assert account.iot("policy/p") == "arn:aws-cn:iot:cn-north-1:123456789012:policy/p"
    assert account.role("r") == "arn:aws-cn:iam::123456789012:role/r"
    assert account.registration_policy == (
        "arn:aws-cn:iam::aws:policy/service-role/AWSIoTThingsRegistration"
    )


def test_answer_that_is_no_arn_is_told() -> None:
    with pytest.raises(FleetCloudError, match="which is not an ARN"):
        Account.of_caller("me", "eu-west-1")
