"""AWS's managed job templates as AWS documents them, over the real CLI and its API."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from iot_sandbox.launch import Sandbox
from support.aws import aws, aws_client

NAMES = [
    "AWS-Download-File",
    "AWS-Install-Application",
    "AWS-Reboot",
    "AWS-Remove-Application",
    "AWS-Restart-Application",
    "AWS-Run-Command",
    "AWS-Start-Application",
    "AWS-Stop-Application",
]


@pytest.fixture(scope="module")
def iot(sandbox: Sandbox) -> Any:
    client = aws_client(sandbox, "iot")
    client.create_thing(thingName="managed-1")
    return client


def make(iot: Any, job: str, template: str, **more: Any) -> Any:
    """Gives a job of a template; its document."""
    arn = iot.describe_thing(thingName="managed-1")["thingArn"]
    region = arn.split(":")[3]
    named = (
        template
        if template.startswith("arn:")
        else f"arn:aws:iot:{region}::jobtemplate/{template}"
    )
    iot.create_job(jobId=job, targets=[arn], jobTemplateArn=named, **more)
    document = iot.get_job_document(jobId=job)["document"]
    iot.delete_job(jobId=job, force=True)
    return json.loads(document)


def test_they_are_listed_and_described(sandbox: Sandbox, iot: Any) -> None:
    listed = aws(sandbox, "iot", "list-managed-job-templates")["managedJobTemplates"]
    assert sorted(each["templateName"] for each in listed) == NAMES
    assert {tuple(each["environments"]) for each in listed} == {("LINUX",)}
    (one,) = iot.list_managed_job_templates(templateName="AWS-Reboot")["managedJobTemplates"]
    found = iot.describe_managed_job_template(templateName="AWS-Reboot")
    assert found["templateArn"] == one["templateArn"]
    assert one["templateArn"] == f"arn:aws:iot:{sandbox.region}::jobtemplate/AWS-Reboot:1.0"
    assert [(p["key"], p["optional"]) for p in found["documentParameters"]] == [
        ("runAsUser", True),
        ("pathToHandler", True),
    ]
    (step,) = json.loads(found["document"])["steps"]
    assert step["action"]["input"] == {
        "handler": "reboot.sh",
        "path": "${aws:iot:parameter:pathToHandler}",
    }
    pages = iot.get_paginator("list_managed_job_templates").paginate(
        PaginationConfig={"PageSize": 3}
    )
    assert sum(len(page["managedJobTemplates"]) for page in pages) == len(NAMES)


def test_a_job_has_the_document_with_its_parameters(iot: Any) -> None:
    given = {"downloadUrl": 'https://x.example/a"b', "filePath": "/f", "pathToHandler": "/opt"}
    document = make(iot, "managed-a", "AWS-Download-File:1.0", documentParameters=given)
    assert document == {
        "version": "1.0",
        "steps": [
            {
                "action": {
                    "name": "Download-File",
                    "type": "runHandler",
                    "input": {
                        "handler": "download-file.sh",
                        "path": "/opt",
                        "args": ['https://x.example/a"b', "/f"],
                    },
                    "runAsUser": "",
                }
            }
        ],
    }
    (step,) = make(iot, "managed-b", "AWS-Reboot:1.0")["steps"]
    assert step["action"]["input"] == {"handler": "reboot.sh", "path": ""}


@pytest.mark.parametrize(
    ("template", "more", "code"),
    [
        ("AWS-Run-Command:1.0", {}, "InvalidRequestException"),
        ("AWS-Reboot:1.0", {"documentParameters": {"when": "now"}}, "InvalidRequestException"),
        ("AWS-Reboot:1.0", {"document": "{}"}, "InvalidRequestException"),
        ("AWS-Reboot:2.0", {}, "ResourceNotFoundException"),
        ("AWS-Dance:1.0", {}, "ResourceNotFoundException"),
        ("arn:aws:iot:eu-south-9::jobtemplate/AWS-Reboot:1.0", {}, "ResourceNotFoundException"),
    ],
)
def test_a_job_that_its_template_does_not_make_is_refused(
    iot: Any, template: str, more: Any, code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        make(iot, "managed-c", template, **more)
    assert caught.value.response["Error"]["Code"] == code
