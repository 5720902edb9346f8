"""The five ways in which people begin with AWS IoT Core, as the commands of fleet-cloud and the tutorial go."""

import json
import time
from typing import Any

from botocore.exceptions import ClientError
from botocore.session import Session as AwsSession

from fleet_acceptance.account import tags
from fleet_acceptance.context import Run
from fleet_acceptance.device import keys
from fleet_acceptance.device.agents import until
from fleet_acceptance.device.mqtt import Session
from fleet_acceptance.errors import AcceptanceError

_BULK = "3"
_THINGS = 2
# AWS knows a new user's key some ten seconds later, a policy or a subscription some seconds.
_SPREAD_SECONDS = 90.0
_OPERATORS_ACTIONS = (
    "iot:CreateThing",
    "iot:CreatePolicy",
    "iot:CreateCertificateFromCsr",
    "iot:AttachPolicy",
    "iot:AttachThingPrincipal",
    "iot:TagResource",
)


def bulk(run: Run) -> None:
    """Registers things in bulk, connects as each, and takes them away."""
    folder, ca = run.path / "bulk", _ca(run)
    named = ("--prefix", f"{run.id}-bin", "--out", folder)
    with run.step(f"fleet-cloud bulk: {_BULK} things by one task"):
        run.fleet_cloud("bulk", "--count", _BULK, *named, *ca)
    with run.step("fleet-cloud check: each connects and hears itself"):
        until(lambda: _checked(run, folder), "every thing's connection", _SPREAD_SECONDS)
    with run.step("fleet-cloud bulk reset"):
        run.fleet_cloud("bulk", "reset", *named, "--yes")


def _checked(run: Run, folder: Any) -> bool:  # noqa: ANN401
    return not run.fleet_cloud("check", "--all", "--out", folder, statuses=(0, 1))["failed"]


def by_hand(run: Run) -> None:
    """An operator with few rights makes a thing, a policy, a certificate, and the thing receives its own message."""
    name, cloud = f"{run.id}-lamp", run.cloud
    iam, user = cloud.client("iam"), f"{run.id}-operator"
    with run.step("an IAM user who may do this and nothing else"):
        iam.create_user(UserName=user, Tags=tags.mine(run.id))
        allowed = {"Effect": "Allow", "Resource": "*", "Action": list(_OPERATORS_ACTIONS)}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=user, PolicyName="lamp", PolicyDocument=document)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        run.redactor.learn(key["SecretAccessKey"], key["AccessKeyId"])
        iot = _operators(run, key)
        until(lambda: _is_known(iot, name), "the user's key", _SPREAD_SECONDS)
    with run.step("a thing, a policy and a certificate, attached to each other"):
        _allow_topic(run, iot, name)
        made_key = keys.make(run.path, "lamp", name)
        made = iot.create_certificate_from_csr(
            certificateSigningRequest=made_key.request, setAsActive=True
        )
        run.folder.add(made["certificateId"])
        iot.attach_policy(policyName=name, target=made["certificateArn"])
        iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
        identity = made_key.identity(made["certificatePem"])
    with run.step("the thing publishes, and hears it"):
        until(lambda: _receives(run, identity, name), "its own message", _SPREAD_SECONDS)


def _operators(run: Run, key: Any) -> Any:  # noqa: ANN401  botocore makes its classes
    cloud = run.cloud
    return AwsSession(profile=cloud.where.profile).create_client(
        "iot",
        region_name=cloud.region,
        endpoint_url=cloud.iot.meta.endpoint_url,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token="",
    )


def _is_known(iot: Any, name: str) -> bool:  # noqa: ANN401
    try:
        iot.create_thing(thingName=name)
    except ClientError:
        return False
    return True


def _allow_topic(run: Run, iot: Any, name: str) -> None:  # noqa: ANN401
    arn = run.cloud.arn
    pairs = (
        ("Connect", f"client/{name}"),
        ("Publish", f"topic/tutorial/{name}"),
        ("Receive", f"topic/tutorial/{name}"),
        ("Subscribe", f"topicfilter/tutorial/{name}"),
    )
    statements = [
        {"Effect": "Allow", "Action": f"iot:{action}", "Resource": arn(resource)}
        for action, resource in pairs
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iot.create_policy(policyName=name, policyDocument=document, tags=tags.mine(run.id))


def _receives(run: Run, identity: Any, name: str) -> bool:  # noqa: ANN401
    topic = f"tutorial/{name}"
    try:
        with Session(run.server, identity, name) as session:
            is_allowed = session.subscribe(topic) == [1]
            return is_allowed and session.publish(topic, {"n": 1}) == 0 and bool(session.next(5.0))
    except Exception:  # noqa: BLE001  awscrt raises its own; the next try says it again
        time.sleep(1.1)
        return False


def rule(run: Run) -> None:
    """What devices publish goes to SNS by a rule; a queue stands for the person with the e-mail address."""
    cloud, topic = run.cloud, f"{run.id}-readings"
    with run.step("fleet-cloud rule up: a rule from telemetry to SNS"):
        made = run.fleet_cloud("rule", "up", "--topic", f"tutorial/{run.id}-rule", "--sns", topic)
        queue = _queue(run, str(made["sns_topic_arn"]))
    with run.step("a message arrives at SNS"):
        data = cloud.client("iot-data")
        until(
            lambda: _arrives(cloud.client("sqs"), data, queue, f"tutorial/{run.id}-rule"),
            "the message",
            _SPREAD_SECONDS,
        )
    with run.step("fleet-cloud rule down"):
        run.fleet_cloud("rule", "down", "--yes")


def _queue(run: Run, topic_arn: str) -> str:
    """Makes a queue that gets what the SNS topic gets."""
    queues, name = run.cloud.client("sqs"), f"{run.id}-readings"
    arn = run.cloud.arn(name, "sqs")
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    made = queues.create_queue(
        QueueName=name, Attributes={"Policy": policy}, tags={tags.TAG: run.id}
    )
    run.cloud.client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)
    return str(made["QueueUrl"])


def _arrives(queues: Any, data: Any, queue: str, topic: str) -> bool:  # noqa: ANN401
    """Publishes once more, and looks into the queue."""
    data.publish(topic=topic, qos=1, payload=b'{"level": 7}')
    found = queues.receive_message(QueueUrl=queue, WaitTimeSeconds=2).get("Messages", [])
    return any("level" in message["Body"] for message in found)


def things(run: Run) -> None:
    """Numbered things: created, sent with, cleaned."""
    folder, ca = run.path / "things", _ca(run)
    with run.step("no thing_0 of somebody else's"):
        for number in range(_THINGS):
            if f"thing_{number}" in (run.folder.before() or {}).get("thing", []):
                raise AcceptanceError(f"the account has a thing_{number} already: left alone")
    with run.step(f"fleet-cloud things create {_THINGS}"):
        run.fleet_cloud("things", "create", str(_THINGS), "--out", folder)
    with run.step("fleet-cloud things send"):
        run.fleet_cloud("things", "send", "--duration", "1", "--out", folder, *ca)
    with run.step("fleet-cloud things clean"):
        run.fleet_cloud("things", "clean", "--out", folder, "--yes")


def _ca(run: Run) -> tuple[Any, ...]:
    ca_file = run.cloud.where.ca_file
    return ("--ca-file", ca_file) if ca_file else ()
