"""What brings readings from a topic of devices to people: an SNS topic, a subscription, a role, and a topic rule."""

import json
from collections.abc import Mapping

from fleet_cloud.aws.calls import Answer, Aws, entries, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.plan import documents, resources
from fleet_cloud.plan.resources import Facts, Resource

INLINE = "publish"


def prerequisites(
    aws: Aws, names: FleetNames, account: Account, target: str, email: str | None
) -> list[Resource]:
    """Returns everything that the rule needs, in the order in which it is created."""
    role, trust = account.role(names.rule_role), documents.trust_policy(account)
    return [
        resources.any_role(aws, names, "rule role", role, trust),
        # Before the SNS topic: after an interruption it shows which topic is this fleet's.
        resources.inline_policy(
            aws, names.rule_role, INLINE, documents.allowing("sns:Publish", target)
        ),
        _topic(aws, names, target),
        *([_subscription(aws, target, email)] if email else []),
    ]


def rule(aws: Aws, names: FleetNames, account: Account, topic: str, target: str) -> Resource:
    """Returns the rule."""
    named = ["--rule-name", names.rule]
    action = {
        "targetArn": target,
        "roleArn": account.role(names.rule_role),
        "messageFormat": "RAW",
    }
    wanted = {
        "sql": f"SELECT * FROM '{topic}'",  # noqa: S608 - checked to be without quotes
        "ruleDisabled": False,
        "actions": [{"sns": action}],
    }
    payload = documents.compact(
        {**wanted, "description": f"{topic} to SNS", "awsIotSqlVersion": "2016-03-23"}
    )
    body = [*named, "--topic-rule-payload", payload]

    def facts(answer: Answer) -> Facts:
        found = answer.get("rule")
        described = found if isinstance(found, Mapping) else {}
        return {key: described.get(key) for key in wanted}

    return Resource(
        kind="topic rule",
        name=names.rule,
        read=aws.command("iot", "get-topic-rule", *named),
        facts=facts,
        wanted=wanted,
        create=aws.command(
            "iot", "create-topic-rule", *body, "--tags", f"fleet={names.fleet}&made-by=fleet-cloud"
        ),
        fixes=dict.fromkeys(wanted, aws.command("iot", "replace-topic-rule", *body)),
    )


def read_rule(aws: Aws, names: FleetNames, account: Account) -> Answer | None:
    """Asks for the rule.

    AWS answers Unauthorized for one that does not exist, as for a missing permission: so ask for the list first.

    Raises:
        FleetCloudError: There is one of that name which is not ours.
    """
    name = names.rule
    listed = aws.ask(aws.command("iot", "list-topic-rules"))
    if name not in [entry.get("ruleName") for entry in entries(listed, "rules")]:
        return None
    described = aws.ask(aws.command("iot", "get-topic-rule", "--rule-name", name))
    if account.role(names.rule_role) not in json.dumps(described):
        raise FleetCloudError(
            f"the topic rule {name} is not this fleet's: it does not use the role {names.rule_role}",
            remedy="choose another --name",
            code="rule-of-another",
        )
    return described


def read_target(aws: Aws, names: FleetNames) -> str | None:
    """Looks up which SNS topic the role may publish to; nothing when there is no such role."""
    named = ("--role-name", names.rule_role, "--policy-name", INLINE)
    (described,) = aws.ask_all([aws.command("iam", "get-role-policy", *named)])
    document = (described or {}).get("PolicyDocument")
    statements = document.get("Statement") if isinstance(document, Mapping) else None
    return text(statements[0], "Resource") if isinstance(statements, list) and statements else None


def _topic(aws: Aws, names: FleetNames, arn: str) -> Resource:
    return Resource(
        kind="SNS topic",
        name=arn.rpartition(":")[2],
        read=aws.command("sns", "get-topic-attributes", "--topic-arn", arn),
        facts=lambda _: {},
        wanted={},
        create=aws.command(
            "sns", "create-topic", "--name", arn.rpartition(":")[2], *resources.tags(names)
        ),
        fixes={},
    )


def _subscription(aws: Aws, arn: str, email: str) -> Resource:
    def facts(answer: Answer) -> Facts | None:
        found = [entry.get("Endpoint") for entry in entries(answer, "Subscriptions")]
        return {} if email in found else None

    return Resource(
        kind="subscription",
        name=email,
        read=aws.command("sns", "list-subscriptions-by-topic", "--topic-arn", arn),
        facts=facts,
        wanted={},
        create=aws.command(
            "sns",
            "subscribe",
            *("--topic-arn", arn),
            *("--protocol", "email", "--notification-endpoint", email),
        ),
        fixes={},
    )
