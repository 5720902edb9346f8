"""The IAM permissions for controlling and inspecting devices: a part of the table of permissions. Pure."""

from fleet_cloud.aws.grant import Grant

_WHO = Grant(("all",), ("sts:GetCallerIdentity",))
_ENDPOINT = Grant(("all",), ("iot:DescribeEndpoint",))
_SEE_CONNECTION = (
    _ENDPOINT,
    Grant(("clients",), ("iot:GetConnection", "iot:ListSubscriptions")),
)

SHOW = (
    *_SEE_CONNECTION,
    Grant(("things",), ("iot:ListJobExecutionsForThing",)),
    Grant(("all",), ("iot:ListCommandExecutions",)),
)
SEND = (
    _ENDPOINT,
    Grant(("clients",), ("iot:SendDirectMessage",)),
    # To receive an answer.
    Grant(("own clients",), ("iot:Connect",)),
    Grant(("answers",), ("iot:Subscribe", "iot:Receive")),
)
RUN = (
    _WHO,
    _ENDPOINT,
    Grant(
        ("commands",),
        (
            "iot:CreateCommand",
            "iot:GetCommand",
            "iot:StartCommandExecution",
            "iot:GetCommandExecution",
            "iot:TagResource",
        ),
    ),
    Grant(
        ("jobs",),
        (
            "iot:CreateJob",
            "iot:TagResource",
            "iot:ListJobExecutionsForJob",
            "iot:DescribeJobExecution",
        ),
    ),
)
EXPLAIN = (
    Grant(("things",), ("iot:DescribeThing", "iot:ListThingPrincipals")),
    Grant(("certificates",), ("iot:DescribeCertificate",)),
    *_SEE_CONNECTION,
    Grant(("log of AWS IoT", "logs"), ("logs:FilterLogEvents",)),
)
