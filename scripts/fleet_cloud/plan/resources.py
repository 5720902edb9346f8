"""What a fleet needs in the cloud, as data: how to read each thing, what it must be, how to make it and fix it.

``up`` walks over this list; what is added here is made, compared and reported without another line there.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_cloud.aws.calls import Answer, Aws, entries, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import UsageError
from fleet_cloud.local.shell import Command
from fleet_cloud.plan import documents, rights

Facts = Mapping[str, object]

DEVICE_POLICY = "device policy"
OWN_POLICY = "device-policy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resource:
    """One thing in the cloud.

    Args:
        kind: What it is, for people.
        name: Its name.
        read: Describes it.
        facts: What of the answer must fit; nothing when the answer says that it is not there.
        wanted: What the facts must be.
        create: Makes it.
        fixes: For each fact that may differ, the command that corrects it.
        versions: Its versions, where it has such.
        upload: A file that ``create`` and ``fixes`` name, and what it holds.
    """

    kind: str
    name: str
    read: Command
    facts: Callable[[Answer], Facts | None]
    wanted: Facts
    create: Command
    fixes: Mapping[str, Command]
    versions: "Versions | None" = None
    upload: tuple[Path, bytes] | None = None

    def drift(self, found: Facts) -> list[str]:
        """Returns where it differs from what it must be, as paths."""
        return list(documents.differences(found, self.wanted))

    def fixing(self, drift: list[str]) -> list[Command]:
        """Returns the commands that would correct this drift."""
        commands = [
            command
            for fact, command in self.fixes.items()
            if any(path.split(".")[0].split("[")[0] == fact for path in drift)
        ]
        return [*dict.fromkeys(commands)]  # one may put several facts right


@dataclasses.dataclass(frozen=True, kw_only=True)
class Versions:
    """The versions of a policy or template, of which AWS keeps five.

    Args:
        read: Lists them.
        key: Where they are in the answer.
        delete: Makes the command that deletes one.
    """

    read: Command
    key: str
    delete: Callable[[str], Command]

    def beyond(self, answer: Answer | None, kept: int) -> list[Command]:
        """Returns the commands that delete the oldest, but never the default one, until so many are left."""
        found = entries(answer, self.key)
        others = sorted(
            int(str(entry.get("versionId")))
            for entry in found
            if not entry.get("isDefaultVersion")
        )
        return [self.delete(str(number)) for number in others[: max(0, len(found) - kept)]]


def of_fleet(aws: Aws, names: FleetNames, account: Account) -> list[Resource]:
    """Returns what every fleet needs, but for its template, in the order in which it is created."""
    return [
        role(aws, names, account),
        role_policy(aws, names.role, account.registration_policy),
        device_policy(aws, names, rights.device_policy(account, names)),
        claim_policy(aws, names, account),
    ]


def marks(names: FleetNames) -> dict[str, str]:
    """Returns the tags that mark what is ours."""
    return {"fleet": names.fleet, "made-by": "fleet-cloud"}


def tags(names: FleetNames) -> list[str]:
    """Returns the flag that gives these tags, as most commands take it."""
    return ["--tags", *(f"Key={key},Value={value}" for key, value in marks(names).items())]


def role(aws: Aws, names: FleetNames, account: Account) -> Resource:
    """Returns the role that AWS IoT assumes to register things."""
    trust = documents.trust_policy(account)
    return any_role(aws, names, "role", account.role(names.role), trust)


def any_role(
    aws: Aws, names: FleetNames, kind: str, arn: str, trust: documents.Document
) -> Resource:
    """Returns a role."""
    name = arn.rpartition("/")[2]
    named = ["--role-name", name]
    return Resource(
        kind=kind,
        name=name,
        read=aws.command("iam", "get-role", *named),
        facts=_role_facts,
        wanted={"arn": arn, "trust": trust},
        create=aws.command(
            "iam",
            "create-role",
            *named,
            *["--assume-role-policy-document", documents.compact(trust)],
            *(["--permissions-boundary", aws.role_boundary] if aws.role_boundary else []),
            *tags(names),
        ),
        fixes={
            "trust": aws.command(
                "iam",
                "update-assume-role-policy",
                *named,
                *["--policy-document", documents.compact(trust)],
            )
        },
    )


def role_policy(aws: Aws, role_name: str, arn: str, kind: str = "role policy") -> Resource:
    """Returns a managed policy on a role."""
    named = ["--role-name", role_name]

    def facts(answer: Answer) -> Facts | None:
        arns = [text(entry, "PolicyArn") for entry in entries(answer, "AttachedPolicies")]
        return {"arn": arn} if arn in arns else None

    return Resource(
        kind=kind,
        name=arn.rpartition("/")[2],
        read=aws.command("iam", "list-attached-role-policies", *named),
        facts=facts,
        wanted={"arn": arn},
        create=aws.command("iam", "attach-role-policy", *named, "--policy-arn", arn),
        fixes={},
    )


def inline_policy(
    aws: Aws, role_name: str, name: str, document: documents.Document, kind: str = "role policy"
) -> Resource:
    """Returns a policy that is part of a role."""
    named = ["--role-name", role_name, "--policy-name", name]
    put = aws.command(
        "iam", "put-role-policy", *named, "--policy-document", documents.compact(document)
    )
    return Resource(
        kind=kind,
        name=name,
        read=aws.command("iam", "get-role-policy", *named),
        facts=lambda answer: {"document": answer.get("PolicyDocument")},
        wanted={"document": document},
        create=put,
        fixes={"document": put},
    )


def device_policy(aws: Aws, names: FleetNames, document: documents.Document) -> Resource:
    """Returns the policy of this fleet's devices.

    Raises:
        UsageError: It would be longer than AWS allows.
    """
    if len(documents.compact(document)) > documents.POLICY_CHARACTERS:
        raise UsageError(
            f"the policy {names.device_policy} would exceed {documents.POLICY_CHARACTERS} characters, AWS's limit",
            remedy="let several programs share a role alias, grant fewer rights, use your own policy "
            "(--device-policy-file), or choose a shorter name for the fleet",
        )
    return policy(aws, names, DEVICE_POLICY, names.device_policy, document)


def mark_of_own_policy(
    aws: Aws, names: FleetNames, account: Account, *, is_own: bool = True
) -> Resource:
    """Returns the tag that says that the device policy is the operator's own, or that it is no longer."""
    arn = ["--resource-arn", account.iot(f"policy/{names.device_policy}")]
    mark = aws.command("iot", "tag-resource", *arn, "--tags", f"Key={OWN_POLICY},Value=file")
    unmark = aws.command("iot", "untag-resource", *arn, "--tag-keys", OWN_POLICY)
    return Resource(
        kind="device policy's mark",
        name=names.device_policy,
        read=aws.command("iot", "list-tags-for-resource", *arn),
        facts=lambda answer: {OWN_POLICY: is_marked(answer)},
        wanted={OWN_POLICY: is_own},
        create=mark,
        fixes={OWN_POLICY: mark if is_own else unmark},
    )


def is_marked(answer: Answer | None) -> bool:
    """Whether tags say that the device policy is the operator's own."""
    return any(entry.get("Key") == OWN_POLICY for entry in entries(answer, "tags"))


def claim_policy(aws: Aws, names: FleetNames, account: Account) -> Resource:
    """Returns the policy of this fleet's claims."""
    document = documents.claim_policy(account, names)
    return policy(aws, names, "claim policy", names.claim_policy, document)


def policy(
    aws: Aws, names: FleetNames, kind: str, name: str, document: documents.Document
) -> Resource:
    """Returns a policy of AWS IoT."""
    named = ["--policy-name", name]
    body = [*named, "--policy-document", documents.compact(document)]
    return Resource(
        kind=kind,
        name=name,
        read=aws.command("iot", "get-policy", *named),
        facts=lambda answer: {
            "document": documents.parsed(text(answer, "policyDocument"), of=f"policy {name}")
        },
        wanted={"document": document},
        create=aws.command("iot", "create-policy", *body, *tags(names)),
        fixes={"document": aws.command("iot", "create-policy-version", *body, "--set-as-default")},
        versions=Versions(
            read=aws.command("iot", "list-policy-versions", *named),
            key="policyVersions",
            delete=lambda version: aws.command(
                "iot", "delete-policy-version", *named, "--policy-version-id", version
            ),
        ),
    )


def _role_facts(answer: Answer) -> Facts:
    found = answer.get("Role")
    trust = found.get("AssumeRolePolicyDocument") if isinstance(found, Mapping) else None
    return {"arn": text(answer, "Role", "Arn"), "trust": trust}
