"""What flags mean by botocore's models: as the CLI reads them, or refused."""

from pathlib import Path
from typing import Any

import botocore.session
import pytest

from fleet_cloud.aws import shapes
from fleet_cloud.aws.call import Call, Where, parameters
from fleet_cloud.local.shell import Variable

WHERE = Where(region="eu-west-1")


def read(service: str, operation: str, *flags: str | Variable) -> dict[str, Any]:
    model = botocore.session.Session().get_service_model(shapes.service(service))
    found = parameters(flags)
    return shapes.arguments(model.operation_model(operation), found, {"request": "PEM"})


def test_text_number_switch_and_its_opposite() -> None:
    assert read("iot", "SearchIndex", "--query-string", "x", "--max-results", "100") == {
        "queryString": "x",
        "maxResults": 100,
    }
    assert read("iot", "UpdateProvisioningTemplate", "--template-name", "t", "--no-enabled") == {
        "templateName": "t",
        "enabled": False,
    }
    assert read("iot", "DeleteCertificate", "--certificate-id", "c", "--force-delete") == {
        "certificateId": "c",
        "forceDelete": True,
    }


def test_lists_and_structures_in_json_and_in_short() -> None:
    tags = [{"Key": "fleet", "Value": "a"}, {"Key": "made-by", "Value": "b"}]
    short = ("--tags", "Key=fleet,Value=a", "Key=made-by,Value=b")
    assert read("iot", "CreatePolicy", *short) == {"tags": tags}
    assert read("iot", "CreateJob", "--targets", "a", "b")["targets"] == ["a", "b"]
    payload = '{"attributes":{"serialNumber":"1=2,3"}}'
    assert read("iot", "CreateThing", "--attribute-payload", payload) == {
        "attributePayload": {"attributes": {"serialNumber": "1=2,3"}}
    }


def test_variable_is_its_value_and_what_the_cli_keeps_to_itself_is_left_out() -> None:
    flags = ("--certificate-signing-request", Variable("request"), "--query", "certificateArn")
    own = ("--certificate-pem-outfile", "f")
    assert read("iot", "CreateCertificateFromCsr", *flags, *own) == {
        "certificateSigningRequest": "PEM"
    }


def test_file_is_read_where_a_body_is_wanted_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "hook.zip"
    path.write_bytes(b"\x00zip")
    assert read("lambda", "CreateFunction", "--zip-file", f"fileb://{path}") == {
        "Code": {"ZipFile": b"\x00zip"}
    }
    assert read("s3api", "PutObject", "--body", str(path)) == {"Body": b"\x00zip"}
    text = f"file://{path}"  # a thing may be called anything
    assert read("iot", "DescribeThing", "--thing-name", text) == {"thingName": text}


@pytest.mark.parametrize(
    "flags",
    [
        ("--thingies", "x"),
        ("--thing-name",),
        ("--thing-name", "a", "b"),
        ("--attribute-payload", "no pairs"),
        ("--attribute-payload", "{"),
        ("--no-thing",),
    ],
)
def test_what_the_operation_does_not_take_is_refused(flags: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read("iot", "CreateThing", *flags)


def test_call_prints_as_the_command_that_makes_it() -> None:
    made = Call(
        service="iot",
        operation="create-thing",
        parameters=parameters(("--thing-name", "a b")),
        where=Where(region="eu-west-1", profile="ops", endpoint_url="http://localhost:1"),
    )
    assert str(made) == (
        "aws iot create-thing --thing-name 'a b' --profile ops --region eu-west-1 "
        "--endpoint-url http://localhost:1 --output json"
    )
    assert (
        str(Call(service="iot", operation="x", parameters=(), where=WHERE, into=Variable("a")))
        == "a=$(aws iot x --region eu-west-1 --output text)"
    )
