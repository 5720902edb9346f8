"""Whose something is, by its tags: those of the run, or of the run's fleet."""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from fleet_acceptance.account.cloud import Cloud

TAG = "acceptance"


def mine(run: str) -> list[dict[str, str]]:
    """Gives the tags of what a run makes itself, as most services take them."""
    return [{"Key": TAG, "Value": run}]


def _iot(resource: str) -> Callable[[Cloud, str], Any]:
    def read(cloud: Cloud, name: str) -> Any:  # noqa: ANN401
        return cloud.iot.list_tags_for_resource(resourceArn=cloud.arn(f"{resource}/{name}"))[
            "tags"
        ]

    return read


_READ: Mapping[str, Callable[[Cloud, str], Any]] = {
    "role alias": _iot("rolealias"),
    "command": _iot("command"),
    "job": _iot("job"),
    "rule": _iot("rule"),
    "CA": _iot("cacert"),
    "policy": _iot("policy"),
    "template": _iot("provisioningtemplate"),
    "thing group": _iot("thinggroup"),
    "billing group": _iot("billinggroup"),
    "thing type": _iot("thingtype"),
    "topic": lambda cloud, name: cloud.client("sns").list_tags_for_resource(ResourceArn=name)[
        "Tags"
    ],
    "queue": lambda cloud, name: (
        cloud.client("sqs").list_queue_tags(QueueUrl=name).get("Tags", {})
    ),
    "function": lambda cloud, name: cloud.client("lambda").list_tags(
        Resource=cloud.arn(f"function:{name}", "lambda")
    )["Tags"],
    "bucket": lambda cloud, name: cloud.client("s3").get_bucket_tagging(Bucket=name)["TagSet"],
    "user": lambda cloud, name: cloud.client("iam").list_user_tags(UserName=name)["Tags"],
    "role": lambda cloud, name: cloud.client("iam").list_role_tags(RoleName=name)["Tags"],
}
# What AWS IoT or Lambda makes for something of ours, or what cannot be tagged: its name says whose it is.
UNTAGGED = ("thing", "certificate", "log group")


def is_mine(cloud: Cloud, kind: str, name: str, run: str) -> bool:
    """Whether something with a run's name bears its tags."""
    if kind in UNTAGGED:
        return True
    try:
        found = _READ[kind](cloud, name)
    except ClientError:
        return False
    pairs = (
        found.items() if isinstance(found, Mapping) else [(t["Key"], t["Value"]) for t in found]
    )
    known = dict(pairs)
    return run in (known.get(TAG), known.get("fleet"))
