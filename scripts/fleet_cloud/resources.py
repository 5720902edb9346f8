"""What a fleet needs in the cloud, as data: how to read each thing, what it must be, how to make it and mend it.

``up`` walks over this list; what is added here is made, compared and told without another line there.
"""

import dataclasses
from collections.abc import Callable, Mapping

from fleet_cloud import documents
from fleet_cloud.aws import Answer, Aws, text
from fleet_cloud.names import Account, FleetNames
from fleet_cloud.shell import Command

Facts = Mapping[str, object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resource:
    """One thing in the cloud.

    Args:
        kind: What it is, for people.
        name: Its name.
        read: Tells about it.
        facts: What of the answer must fit; nothing when the answer says that it is not there.
        wanted: What the facts must be.
        create: Makes it.
        mend: For each fact that may differ, the command that puts it right.
    """

    kind: str
    name: str
    read: Command
    facts: Callable[[Answer], Facts | None]
    wanted: Facts
    create: Command
    mend: Mapping[str, Command]

    def drift(self, found: Facts) -> list[str]:
        """Return where it differs from what it must be, as paths."""
        return list(documents.differences(found, self.wanted))

    def mending(self, drift: list[str]) -> list[Command]:
        """Return the commands that would put this drift right."""
        return [
            command
            for fact, command in self.mend.items()
            if any(path.split(".")[0].split("[")[0] == fact for path in drift)
        ]


def of_fleet(aws: Aws, names: FleetNames, account: Account) -> list[Resource]:
    """Return everything a fleet needs, in the order in which it is made."""
    return [
        role(aws, names, account),
        role_policy(aws, names, account),
        policy(aws, names, "device policy", names.device_policy, documents.device_policy(account)),
        claim_policy(aws, names, account),
        template(aws, names, account),
    ]


def tags(names: FleetNames) -> list[str]:
    """Return the tags that mark what is ours."""
    return ["--tags", f"Key=fleet,Value={names.fleet}", "Key=made-by,Value=fleet-cloud"]


def role(aws: Aws, names: FleetNames, account: Account) -> Resource:
    """Return the role that AWS IoT takes to register things."""
    trust = documents.trust_policy(account)
    named = ["--role-name", names.role]
    return Resource(
        kind="role",
        name=names.role,
        read=aws.command("iam", "get-role", *named),
        facts=_role_facts,
        wanted={"arn": account.role(names.role), "trust": trust},
        create=aws.command(
            "iam",
            "create-role",
            *named,
            *["--assume-role-policy-document", documents.compact(trust)],
            *tags(names),
        ),
        mend={
            "trust": aws.command(
                "iam",
                "update-assume-role-policy",
                *named,
                *["--policy-document", documents.compact(trust)],
            )
        },
    )


def role_policy(aws: Aws, names: FleetNames, account: Account) -> Resource:
    """Return the managed policy on that role."""
    named = ["--role-name", names.role]
    arn = account.registration_policy

    def facts(answer: Answer) -> Facts | None:
        attached = answer.get("AttachedPolicies")
        arns = (
            [text(entry, "PolicyArn") for entry in attached] if isinstance(attached, list) else []
        )
        return {"arn": arn} if arn in arns else None

    return Resource(
        kind="role policy",
        name=arn.rpartition("/")[2],
        read=aws.command("iam", "list-attached-role-policies", *named),
        facts=facts,
        wanted={"arn": arn},
        create=aws.command("iam", "attach-role-policy", *named, "--policy-arn", arn),
        mend={},
    )


def claim_policy(aws: Aws, names: FleetNames, account: Account) -> Resource:
    """Return the policy of this fleet's claims."""
    document = documents.claim_policy(account, names)
    return policy(aws, names, "claim policy", names.claim_policy, document)


def policy(
    aws: Aws, names: FleetNames, kind: str, name: str, document: documents.Document
) -> Resource:
    """Return a policy of AWS IoT."""
    body = ["--policy-name", name, "--policy-document", documents.compact(document)]
    return Resource(
        kind=kind,
        name=name,
        read=aws.command("iot", "get-policy", "--policy-name", name),
        facts=lambda answer: {
            "document": documents.parsed(text(answer, "policyDocument"), of=f"policy {name}")
        },
        wanted={"document": document},
        create=aws.command("iot", "create-policy", *body, *tags(names)),
        mend={"document": aws.command("iot", "create-policy-version", *body, "--set-as-default")},
    )


def template(aws: Aws, names: FleetNames, account: Account) -> Resource:
    """Return the provisioning template; disabled, it refuses every device."""
    named = ["--template-name", names.template]
    document = documents.template_body(names)
    body = ["--template-body", documents.compact(document)]
    role_arn = ["--provisioning-role-arn", account.role(names.role)]
    update = ("iot", "update-provisioning-template", *named)
    return Resource(
        kind="template",
        name=names.template,
        read=aws.command("iot", "describe-provisioning-template", *named),
        facts=_template_facts,
        wanted={"body": document, "role": role_arn[1], "enabled": True},
        create=aws.command(
            "iot",
            "create-provisioning-template",
            *named,
            *body,
            *role_arn,
            "--enabled",
            *tags(names),
        ),
        mend={
            "body": aws.command(
                "iot", "create-provisioning-template-version", *named, *body, "--set-as-default"
            ),
            "role": aws.command(*update, *role_arn),
            "enabled": aws.command(*update, "--enabled"),
        },
    )


def _role_facts(answer: Answer) -> Facts:
    found = answer.get("Role")
    trust = found.get("AssumeRolePolicyDocument") if isinstance(found, Mapping) else None
    return {"arn": text(answer, "Role", "Arn"), "trust": trust}


def _template_facts(answer: Answer) -> Facts:
    return {
        "body": documents.parsed(text(answer, "templateBody"), of="the template's body"),
        "role": text(answer, "provisioningRoleArn"),
        "enabled": answer.get("enabled"),
    }
