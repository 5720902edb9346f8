"""The least IAM policy for some commands, written as short as IAM wants it. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from fleet_cloud.aws.names import Account, BulkNames, FleetNames, trial_policy
from fleet_cloud.aws.permissions import COMMANDS

Policy = Mapping[str, object]
_Key = tuple[tuple[str, ...], str]

MOST_CHARACTERS = 6144  # of a managed policy in IAM

_BOUNDED = {"iam:CreateRole", "iam:PutRolePolicy"}
# Wildcards for actions that together are all of their kind.
_WHOLE = {
    "iot:*RoleAlias": frozenset(
        f"iot:{verb}RoleAlias" for verb in ("Create", "Delete", "Describe", "Update")
    )
}
# Kinds that share a statement, since IAM counts characters: what is for the one does not apply to the other, or lists.
_TOGETHER = {
    "things": "certificates",
    "trial policies": "policies",
    "role aliases": "registry",
    "clients": "certificates",
    "commands": "jobs",
    "log of AWS IoT": "function",
    **dict.fromkeys(("rule", "topics", "logs", "bucket", "bucket objects"), "function"),
}


def policy(
    commands: Sequence[str], names: FleetNames, account: Account, boundary: str | None = None
) -> Policy:
    """Returns the policy: a statement for each kind of resource and condition.

    Args:
        commands: What it is for.
        names: The fleet's.
        account: Where.
        boundary: The ARN of the permissions boundary that each role must have which is made.
    """
    actions: dict[_Key, set[str]] = {}
    kinds: dict[_Key, list[str]] = {}
    for (together, only), some, action in _granted(commands, bounded=boundary is not None):
        actions.setdefault((together, only), set()).add(action)
        kinds.setdefault((together, only), []).extend(some)
    arns, under = resources(names, account), conditions(account, boundary)
    # Each of them once, in order.
    merged: dict[_Key, dict[str, None]] = {}
    for key, some in kinds.items():
        found = merged.setdefault((tuple(sorted(actions[key])), key[1]), {})
        found |= dict.fromkeys(arn for kind in some for arn in arns[kind])
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": _short(some), "Resource": [*found], **under[only]}
            for (some, only), found in merged.items()
        ],
    }


def _short(actions: Sequence[str]) -> list[str]:
    """Returns actions with one name for all of a kind, where all of it are there."""
    found = {*actions}
    for name, whole in _WHOLE.items():
        if whole <= found:
            found = found - whole | {name}
    return sorted(found)


def _granted(
    commands: Sequence[str], *, bounded: bool
) -> Iterator[tuple[_Key, Sequence[str], str]]:
    """Yields every action with its kinds and what its statement is known by.

    Actions on roles are grouped by the roles that they share, since the names of roles are long.
    """
    of_roles: dict[tuple[str, str], list[str]] = {}
    for grant in (grant for command in commands for grant in COMMANDS[command]):
        for action in grant.actions:
            if action.startswith("iam:"):
                only = "bounded" if bounded and action in _BOUNDED else grant.only
                of_roles.setdefault((action, only), []).extend(grant.kinds)
            else:
                together = tuple(_TOGETHER.get(kind, kind) for kind in grant.kinds)
                yield (together, grant.only), grant.kinds, action
    for (action, only), roles in of_roles.items():
        yield (tuple(sorted({*roles})), only), roles, action


def conditions(account: Account, boundary: str | None) -> dict[str, dict[str, object]]:
    """Returns the conditions of statements, by their names in the table."""

    def condition(operator: str, key: str, value: object) -> dict[str, object]:
        return {"Condition": {operator: {key: value}}}

    logs = account.logs_policy
    # Listing has no such key; attaching and detaching always have it.
    attached, passed = ("ArnEqualsIfExists", "iam:PolicyARN"), "iam:PassedToService"
    return {
        "": {},
        "registration": condition(*attached, account.registration_policy),
        "logs": condition(*attached, logs),
        # It is not documented as which of the two AWS IoT assumes a role alias's role.
        "to iot": condition(
            "StringEquals", passed, ["iot.amazonaws.com", "credentials.iot.amazonaws.com"]
        ),
        "to lambda": condition("StringEquals", passed, "lambda.amazonaws.com"),
        "bounded": condition("StringEquals", "iam:PermissionsBoundary", boundary),
    }


def resources(names: FleetNames, account: Account) -> dict[str, list[str]]:
    """Returns the ARNs of each kind of resource in the table."""
    bulk, topic = BulkNames(names, account), account.sns_topic("*")
    bucket = f"arn:{account.partition}:s3:::{bulk.bucket}"
    return {
        "all": ["*"],
        "role": [account.role(names.role)],
        "hook role": [account.role(names.hook)],
        "credentials role": [account.role(names.credentials)],
        "role aliases": [account.iot("rolealias/*")],
        "policies": [
            account.iot(f"policy/{names.device_policy}"),
            account.iot(f"policy/{names.claim_policy}"),
        ],
        "template": [account.iot(f"provisioningtemplate/{names.template}")],
        "registry": [
            account.iot(f"{kind}/*") for kind in ("thingtype", "thinggroup", "billinggroup")
        ],
        "certificates": [account.iot("cert/*")],
        "things": [account.iot("thing/*")],
        "jobs": [account.iot(f"{kind}/*") for kind in ("job", "thing", "thinggroup")],
        "function": [account.function(names.hook)],
        "bulk role": [account.role(bulk.role)],
        "bulk policy": [account.iot(f"policy/{bulk.policy}")],
        "bucket": [bucket],
        "bucket objects": [f"{bucket}/*"],
        "rule": [account.iot(f"rule/{names.rule}")],
        "rule role": [account.role(names.rule_role)],
        "topics": [topic],
        "trial policies": [account.iot(f"policy/{trial_policy('thing_*')}")],
        "logs": [account.log_group(f"/aws/lambda/{names.hook}")],
        "log of AWS IoT": [account.log_group("AWSIotLogsV2")],
        "clients": [account.iot("client/*")],
        "own clients": [account.iot("client/fleet-cloud-*")],
        "answers": [account.iot("topicfilter/dt/*"), account.iot("topic/dt/*")],
        "commands": [account.iot(f"{kind}/*") for kind in ("command", "thing")],
    }
