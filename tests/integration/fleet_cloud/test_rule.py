"""``fleet-cloud rule``: a reading arrives; again, changed, taken away."""

import json
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from support.agent import Agent
from support.aws import aws, aws_client
from support.companion import FleetCloud, answer
from support.fleets import Fleet


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_reading_arrives_and_everything_is_taken_away_again(
    fleet_cloud: FleetCloud, fleet: Fleet, tmp_path: Path
) -> None:
    sandbox, sns = fleet.sandbox, f"readings-{uuid.uuid4().hex[:6]}"
    iot = aws_client(sandbox, "iot")
    boundary = "arn:aws:iam::aws:policy/AmazonSNSFullAccess"
    to = ("--sns", sns, "--email", "ops@example.com", "--role-boundary", boundary)
    up = ("rule", "up", "--name", "my-rule", *to)
    made = answer(fleet_cloud(*up, "--topic", "dt/+/old", "--json"))
    assert made["rule"] == "my_rule_to_sns"
    assert {resource["state"] for resource in made["resources"]} == {"created"}
    role = aws_client(sandbox, "iam").get_role(RoleName="my-rule-rule")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    changed = answer(fleet_cloud(*up, "--topic", "dt/+/system", "--json"))["resources"]
    assert [each["kind"] for each in changed if each["state"] == "updated"] == ["topic rule"]
    again = fleet_cloud(*up, "--topic", "dt/+/system")
    assert again.stdout.splitlines()[-1] == "nothing to do: everything exists"

    sqs = aws_client(sandbox, "sqs")
    queue = sqs.create_queue(QueueName=sns)["QueueUrl"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:{sandbox.region}:123456789012:{sns}",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    aws_client(sandbox, "sns").subscribe(
        TopicArn=made["sns_topic_arn"],
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:{sandbox.region}:123456789012:{sns}",
        Attributes={"RawMessageDelivery": "true"},
    )
    agent = Agent(fleet, tmp_path)
    telemetry = {"sources": [{"system": {"interval": "1s"}}]}
    config = agent.configuration(tmp_path / "config.yaml", telemetry=telemetry)
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("connected to", 90)
        reported = aws(
            sandbox,
            *("sqs", "receive-message", "--endpoint-url", sandbox.http_url),
            *("--queue-url", queue, "--wait-time-seconds", "20"),
        )
    reading = json.loads(reported["Messages"][0]["Body"])
    assert {"time", "uptime_s", "load_1m"} <= set(reading)

    fleet_cloud("rule", "down", "--name", "my-rule", status=1)  # nobody said yes
    gone = answer(fleet_cloud("rule", "down", "--name", "my-rule", "--yes", "--json"))
    assert len(gone["deleted"]) == 3
    assert not [r for r in iot.list_topic_rules()["rules"] if r["ruleName"] == "my_rule_to_sns"]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        aws_client(sandbox, "iam").get_role(RoleName="my-rule-rule")
    topics = aws_client(sandbox, "sns").list_topics()["Topics"]
    assert made["sns_topic_arn"] not in [topic["TopicArn"] for topic in topics]
    done = fleet_cloud("rule", "down", "--name", "my-rule", "--yes")
    assert done.stdout.startswith("nothing to do")
