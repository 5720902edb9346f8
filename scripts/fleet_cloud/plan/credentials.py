"""AWS credentials for programs on devices: role aliases, the role that ``up`` makes, and what remembers them.

The fleet's device policy is what remembers the aliases: its statement names them.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_cloud.aws.calls import Answer, Aws, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import UsageError
from fleet_cloud.local import files, json_text
from fleet_cloud.local.shell import Command
from fleet_cloud.plan import documents, resources
from fleet_cloud.plan.documents import Document
from fleet_cloud.plan.resources import Facts, Resource

ALIAS = "role alias"
ROLE = "credentials role"
ROLE_POLICY = "credentials"

# SDKs renew from 15 minutes before the end: shorter ones would be requested all the time.
SECONDS = 3600

_ALIAS = re.compile(r"[\w=,@-]{1,128}", re.ASCII)
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/.+")
_VARIABLE = "${credentials-iot:"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CredentialsFlags:
    """What the flags say.

    Args:
        aliases: Role aliases with the ARN of their role; empty for the role that ``up`` makes.
        policy: What that role may do.
        forget: Devices may use none any more.
    """

    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    policy: Document | None = None
    forget: bool = False

    def added_to(self, known: Sequence[str]) -> list[str]:
        """Returns the aliases that devices may use: those already allowed, and these."""
        return [] if self.forget else [*dict.fromkeys([*known, *self.aliases])]

    @property
    def is_for_all(self) -> bool:
        """Whether the role gives every device the same: its policy names no device."""
        return self.policy is not None and _VARIABLE not in documents.compact(self.policy)


NONE = CredentialsFlags()


def read(
    names: FleetNames, given: Sequence[str], path: Path | None, *, forget: bool
) -> CredentialsFlags:
    """Reads ``ALIAS`` and ``ALIAS=ROLE-ARN``, and the file of the role's policy.

    Raises:
        UsageError: They cannot be meant so.
    """
    if forget and (given or path):
        raise UsageError(
            "--no-credentials and another credentials flag", remedy="pass only one of them"
        )
    aliases = {}
    for entry in given:
        # A name may have = in it; an ARN begins with arn:.
        alias, _, role = entry.partition("=arn:")
        role = f"arn:{role}" if role else ""
        if not _ALIAS.fullmatch(alias) or (role and not _ROLE.fullmatch(role)):
            raise UsageError(
                f"--credentials {entry!r} is neither ALIAS nor ALIAS=ROLE-ARN",
                remedy="write, for example, logs=arn:aws:iam::123456789012:role/logs; an alias has 1 to 128 of the "
                "characters 0-9 A-Z a-z _ = , @ -",
            )
        aliases[alias] = role
    if path and "" not in aliases.values():
        aliases[names.credentials] = ""
    ours = [alias for alias, role in aliases.items() if not role]
    if ours and path is None:
        raise UsageError(
            f"--credentials {ours[0]} names no role",
            remedy="write ALIAS=ROLE-ARN, or pass --credentials-policy FILE for a role that up creates",
        )
    return CredentialsFlags(aliases=aliases, policy=_policy(path) if path else None, forget=forget)


def _policy(path: Path) -> Document:
    found = files.read(path)
    if found is None:
        raise UsageError(f"--credentials-policy {path} does not exist", remedy="check its name")
    try:
        document = json_text.parsed(found)
    except ValueError as error:
        raise UsageError(
            f"--credentials-policy {path} is not JSON: {error}", remedy="correct that"
        ) from error
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise UsageError(
            f"--credentials-policy {path} is not an IAM policy: it has no Statement",
            remedy='write {"Version": "2012-10-17", "Statement": […]}',
        )
    return document


def of_fleet(
    aws: Aws, names: FleetNames, account: Account, flags: CredentialsFlags
) -> list[Resource]:
    """Returns what the flags ask for, in the order in which it is created."""
    wanted = []
    ours = account.role(names.credentials)
    if flags.policy is not None:
        trust = documents.credentials_trust_policy()
        wanted += [
            resources.any_role(aws, names, ROLE, ours, trust),
            resources.inline_policy(
                aws, names.credentials, ROLE_POLICY, flags.policy, "credentials role policy"
            ),
        ]
    wanted += [_alias(aws, names, alias, role or ours) for alias, role in flags.aliases.items()]
    return wanted


def _alias(aws: Aws, names: FleetNames, alias: str, role: str) -> Resource:
    named = ["--role-alias", alias]
    body = ["--role-arn", role, "--credential-duration-seconds", str(SECONDS)]
    update = aws.command("iot", "update-role-alias", *named, *body)
    return Resource(
        kind=ALIAS,
        name=alias,
        read=read_alias(aws, alias),
        facts=_alias_facts,
        wanted={"role": role, "seconds": SECONDS},
        create=aws.command("iot", "create-role-alias", *named, *body, *resources.tags(names)),
        fixes={"role": update, "seconds": update},
    )


def read_alias(aws: Aws, alias: str) -> Command:
    """Returns the command that describes a role alias."""
    return aws.command("iot", "describe-role-alias", "--role-alias", alias)


def _alias_facts(answer: Answer) -> Facts:
    found = answer.get("roleAliasDescription")
    seconds = found.get("credentialDurationSeconds") if isinstance(found, Mapping) else None
    return {"role": text(answer, "roleAliasDescription", "roleArn"), "seconds": seconds}


def aliases_of(aws: Aws, names: FleetNames) -> list[str]:
    """Looks up which role aliases the fleet's devices may use."""
    policy = resources.policy(aws, names, resources.DEVICE_POLICY, names.device_policy, {})
    (answer,) = aws.ask_all([policy.read])
    found = policy.facts(answer) if answer else None
    return documents.role_aliases(found["document"]) if found else []
