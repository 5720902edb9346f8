"""What ``up`` made that still exists: what ``down`` may delete, going by its tags, and with which commands."""

import dataclasses
from collections.abc import Mapping, Sequence

from fleet_cloud.aws.calls import Answer, Aws, entries
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.local.shell import Command
from fleet_cloud.plan import credentials, documents, hooks, resources, templates
from fleet_cloud.plan.resources import Versions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
    """One thing that ``up`` may have made.

    Args:
        kind: What it is, for people.
        name: Its name.
        read: Shows whether it exists.
        tags: Shows its tags.
        delete: The commands that delete it.
        first: Commands to run before anything is deleted.
        remembered: Only the template records its name.
        versions: Its versions, which have to be deleted before it.
    """

    kind: str
    name: str
    read: Command
    tags: Command
    delete: Sequence[Command]
    first: Sequence[Command] = ()
    versions: Versions | None = None
    remembered: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Existing:
    """What exists: ours to delete, in that order, and other people's with a name of ours."""

    ours: Sequence[Piece]
    others: Sequence[Piece]


def existing(aws: Aws, names: FleetNames, pieces: Sequence[Piece]) -> Existing:
    """Looks up which of these exist, and whose they are."""
    answers = aws.ask_all([command for piece in pieces for command in (piece.read, piece.tags)])
    there = [
        (piece, is_ours(answers[2 * number + 1], names))
        for number, piece in enumerate(pieces)
        if answers[2 * number] is not None
    ]
    return Existing(
        ours=[piece for piece, ours in there if ours],
        others=[piece for piece, ours in there if not ours],
    )


def untagged(aws: Aws, names: FleetNames, pieces: Sequence[Piece]) -> list[Piece]:
    """Returns those, of what is there, that lack the tags: ``down`` would leave them."""
    answers = aws.ask_all([piece.tags for piece in pieces])
    return [
        piece for piece, answer in zip(pieces, answers, strict=True) if not is_ours(answer, names)
    ]


def deletion(aws: Aws, piece: Piece) -> tuple[str, Sequence[Command]]:
    """Returns what it is for people, and the commands that delete it, its older versions first."""
    older: list[Command] = []
    if piece.versions:
        older = piece.versions.beyond(aws.ask(piece.versions.read), 1)
    return f"{piece.kind} {piece.name}", [*older, *piece.delete]


def is_ours(answer: Answer | None, names: FleetNames) -> bool:
    """Whether tags, in any of the ways in which AWS gives them, are those that ``up`` gives."""
    tags = (answer or {}).get("Tags")
    known = dict(tags) if isinstance(tags, Mapping) else {}
    for key in ("Tags", "tags", "TagSet"):
        known |= {str(entry.get("Key")): entry.get("Value") for entry in entries(answer, key)}
    return resources.marks(names).items() <= known.items()


def of_fleet(
    aws: Aws,
    names: FleetNames,
    account: Account,
    template: Answer | None,
    aliases: Sequence[str] = (),
) -> list[Piece]:
    """Returns everything that ``up`` may have made, in the order in which it is deleted.

    The template goes after type and groups: it is what remembers their names, should this be interrupted. So does the
    device policy go after the role aliases.
    """
    found = templates.facts(template)["body"] if template else None
    registry = documents.Registry.of(found)
    logs = account.logs_policy
    return [
        policy(aws, account, "claim policy", names.claim_policy),
        *(
            in_registry(aws, account, kind, name)
            for kind, name in (
                ("thing-group", registry.thing_group),
                ("billing-group", registry.billing_group),
                ("thing-type", registry.thing_type),
            )
            if name
        ),
        *(_alias(aws, account, alias) for alias in dict.fromkeys([*aliases, names.credentials])),
        policy(aws, account, "device policy", names.device_policy),
        _template(aws, names, account),
        _function(aws, names, account),
        role(aws, "hook role", names.hook, managed=logs, inline=hooks.ROLE_POLICY),
        role(aws, credentials.ROLE, names.credentials, inline=credentials.ROLE_POLICY),
        role(aws, "role", names.role, managed=account.registration_policy),
    ]


def _iot_tags(aws: Aws, account: Account, resource: str) -> Command:
    return aws.command("iot", "list-tags-for-resource", "--resource-arn", account.iot(resource))


def policy(aws: Aws, account: Account, kind: str, name: str) -> Piece:
    """Returns a policy of AWS IoT."""
    found = resources.policy(aws, FleetNames("fleet"), kind, name, {})
    return Piece(
        kind=kind,
        name=name,
        read=found.read,
        tags=_iot_tags(aws, account, f"policy/{name}"),
        delete=[aws.command("iot", "delete-policy", "--policy-name", name)],
        versions=found.versions,
    )


def _template(aws: Aws, names: FleetNames, account: Account) -> Piece:
    named = ["--template-name", names.template]
    update = ("iot", "update-provisioning-template", *named)
    return Piece(
        kind="template",
        name=names.template,
        read=templates.read(aws, names),
        tags=_iot_tags(aws, account, f"provisioningtemplate/{names.template}"),
        first=[aws.command(*update, "--no-enabled")],
        delete=[aws.command("iot", "delete-provisioning-template", *named)],
        versions=templates.versions(aws, names),
    )


def in_registry(aws: Aws, account: Account, kind: str, name: str) -> Piece:
    """Returns a ``thing-type``, ``thing-group`` or ``billing-group``."""
    named = [f"--{kind}-name", name]
    resource = f"{kind.replace('-', '')}/{name}"
    # A thing type can be deleted five minutes after it was deprecated, so deprecate it early.
    deprecate = aws.command("iot", "deprecate-thing-type", *named)
    return Piece(
        kind=kind.replace("-", " "),
        name=name,
        read=aws.command("iot", f"describe-{kind}", *named),
        tags=_iot_tags(aws, account, resource),
        first=[deprecate] if kind == "thing-type" else [],
        delete=[aws.command("iot", f"delete-{kind}", *named)],
        remembered=True,
    )


def _alias(aws: Aws, account: Account, name: str) -> Piece:
    return Piece(
        kind=credentials.ALIAS,
        name=name,
        read=credentials.read_alias(aws, name),
        tags=_iot_tags(aws, account, f"rolealias/{name}"),
        delete=[aws.command("iot", "delete-role-alias", "--role-alias", name)],
    )


def _function(aws: Aws, names: FleetNames, account: Account) -> Piece:
    named = ["--function-name", names.hook]
    return Piece(
        kind="hook function",
        name=names.hook,
        read=aws.command("lambda", "get-function-configuration", *named),
        tags=aws.command("lambda", "list-tags", "--resource", account.function(names.hook)),
        delete=[
            # Lambda makes it at the function's first call, and leaves it behind: without the function nobody would
            # look for it after an interruption.
            aws.command(
                "logs", "delete-log-group", "--log-group-name", f"/aws/lambda/{names.hook}"
            ),
            aws.command("lambda", "delete-function", *named),
        ],
    )


def role(aws: Aws, kind: str, name: str, *, managed: str = "", inline: str = "") -> Piece:
    """Returns a role with a managed policy, or one that is part of it, or both."""
    named = ["--role-name", name]
    part, attached = ("--policy-name", inline), ("--policy-arn", managed)
    return Piece(
        kind=kind,
        name=name,
        read=aws.command("iam", "get-role", *named),
        tags=aws.command("iam", "list-role-tags", *named),
        delete=[
            *([aws.command("iam", "delete-role-policy", *named, *part)] if inline else []),
            *([aws.command("iam", "detach-role-policy", *named, *attached)] if managed else []),
            aws.command("iam", "delete-role", *named),
        ],
    )
