"""How each kind of thing is deleted, with what hangs on it; waits for what AWS does only after a while."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from fleet_acceptance.account.cloud import Cloud, code_of

# AWS takes up to five minutes until a detached policy or a deprecated thing type may go.
PATIENCE_SECONDS = 340.0
_LONGEST_PAUSE_SECONDS = 10.0
_SPREAD_SECONDS = 60.0
_NOT_YET = {"DeleteConflictException", "DeleteConflict", "CertificateStateException"}
_NOT_YET_WORDS = re.compile(r"must be deprecated for at least|still attached", re.IGNORECASE)
_ABSENT = {
    "ResourceNotFoundException",
    "NoSuchEntity",
    "NoSuchBucket",
    "NotFound",
    "NotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
}

Delete = Callable[[Cloud, str], None]


def patiently(call: Callable[[], object]) -> None:
    """Makes a call that deletes; what is not there is deleted, and what AWS does not delete yet is tried again.

    Raises:
        ClientError: it was refused.
    """
    began, pause = time.monotonic(), 0.5
    while True:
        try:
            call()
        except ClientError as error:
            if code_of(error) in _ABSENT:
                return
            is_early = code_of(error) in _NOT_YET or _NOT_YET_WORDS.search(str(error))
            if not is_early or time.monotonic() - began > PATIENCE_SECONDS:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def eventually(call: Callable[[], object], code: str) -> None:
    """Makes a call that AWS refuses with this code until what it names is known everywhere.

    Raises:
        ClientError: it was refused to the end.
    """
    until = time.monotonic() + _SPREAD_SECONDS
    while True:
        try:
            call()
        except ClientError as error:
            if code_of(error) != code or time.monotonic() > until:
                raise
        else:
            return
        time.sleep(2.0)


def _certificate(cloud: Cloud, certificate_id: str) -> None:
    iot, arn = cloud.iot, cloud.arn(f"cert/{certificate_id}")
    try:
        iot.describe_certificate(certificateId=certificate_id)
    except ClientError as error:
        if code_of(error) in _ABSENT:
            return
        raise
    for thing in iot.list_principal_things(principal=arn)["things"]:
        iot.detach_thing_principal(thingName=thing, principal=arn)
    for policy in iot.list_attached_policies(target=arn)["policies"]:
        iot.detach_policy(policyName=policy["policyName"], target=arn)
    patiently(lambda: iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE"))
    patiently(lambda: iot.delete_certificate(certificateId=certificate_id, forceDelete=True))


def _thing(cloud: Cloud, name: str) -> None:
    for arn in _pages(cloud.iot, "list_thing_principals", "principals", thingName=name):
        _certificate(cloud, arn.rpartition("/")[2])
    patiently(lambda: cloud.iot.delete_thing(thingName=name))


def _ca(cloud: Cloud, certificate_id: str) -> None:
    iot = cloud.iot
    # From here on nothing more is registered of what it has signed.
    patiently(
        lambda: iot.update_ca_certificate(
            certificateId=certificate_id,
            newStatus="INACTIVE",
            newAutoRegistrationStatus="DISABLE",
        )
    )
    # They are the run's, as their CA is, and have neither a name nor a tag.
    pages = iot.get_paginator("list_certificates_by_ca").paginate(caCertificateId=certificate_id)
    for each in [entry["certificateId"] for page in pages for entry in page["certificates"]]:
        _certificate(cloud, each)
    patiently(lambda: iot.delete_ca_certificate(certificateId=certificate_id))


def _policy(cloud: Cloud, name: str) -> None:
    iot = cloud.iot
    for target in _pages(iot, "list_targets_for_policy", "targets", policyName=name):
        if ":cert/" in target:
            _certificate(cloud, target.rpartition("/")[2])
    for version in iot.list_policy_versions(policyName=name)["policyVersions"]:
        if not version["isDefaultVersion"]:
            iot.delete_policy_version(policyName=name, policyVersionId=version["versionId"])
    patiently(lambda: iot.delete_policy(policyName=name))


def _template(cloud: Cloud, name: str) -> None:
    iot = cloud.iot
    for version in iot.list_provisioning_template_versions(templateName=name)["versions"]:
        if not version["isDefaultVersion"]:
            iot.delete_provisioning_template_version(
                templateName=name, versionId=version["versionId"]
            )
    patiently(lambda: iot.delete_provisioning_template(templateName=name))


def deprecate(cloud: Cloud, thing_type: str) -> None:
    """Begins the five minutes after which a thing type may be deleted."""
    patiently(lambda: cloud.iot.deprecate_thing_type(thingTypeName=thing_type))


def _thing_type(cloud: Cloud, name: str) -> None:
    deprecate(cloud, name)
    patiently(lambda: cloud.iot.delete_thing_type(thingTypeName=name))


def _bucket(cloud: Cloud, name: str) -> None:
    s3 = cloud.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for entry in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=entry["Key"])
    patiently(lambda: s3.delete_bucket(Bucket=name))


def _topic(cloud: Cloud, arn: str) -> None:
    sns = cloud.client("sns")
    for entry in sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]:
        if entry["SubscriptionArn"].startswith("arn:"):
            sns.unsubscribe(SubscriptionArn=entry["SubscriptionArn"])
    patiently(lambda: sns.delete_topic(TopicArn=arn))


def _user(cloud: Cloud, name: str) -> None:
    iam = cloud.client("iam")
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=policy)
    patiently(lambda: iam.delete_user(UserName=name))


def _role(cloud: Cloud, name: str) -> None:
    iam = cloud.client("iam")
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    patiently(lambda: iam.delete_role(RoleName=name))


DELETE: Mapping[str, Delete] = {
    "role alias": lambda cloud, name: cloud.iot.delete_role_alias(roleAlias=name),
    "command": lambda cloud, name: cloud.iot.delete_command(commandId=name),
    "job": lambda cloud, name: cloud.iot.delete_job(jobId=name, force=True),
    "rule": lambda cloud, name: cloud.iot.delete_topic_rule(ruleName=name),
    "topic": _topic,
    "queue": lambda cloud, name: cloud.client("sqs").delete_queue(QueueUrl=name),
    "function": lambda cloud, name: cloud.client("lambda").delete_function(FunctionName=name),
    "log group": lambda cloud, name: cloud.client("logs").delete_log_group(logGroupName=name),
    "thing": _thing,
    "certificate": _certificate,
    "CA": _ca,
    "policy": _policy,
    "template": _template,
    "thing group": lambda cloud, name: cloud.iot.delete_thing_group(thingGroupName=name),
    "billing group": lambda cloud, name: cloud.iot.delete_billing_group(billingGroupName=name),
    "thing type": _thing_type,
    "bucket": _bucket,
    "user": _user,
    "role": _role,
}


def _pages(client: Any, operation: str, key: str, **given: str) -> list[str]:  # noqa: ANN401
    found: list[str] = []
    for page in client.get_paginator(operation).paginate(**given):
        found += page[key]
    return found
