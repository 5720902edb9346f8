"""The provisioning template: what it is to be, from what was said now and what an earlier run said.

What an earlier ``up`` was given (a body from a file, thing type and groups, a hook) is read back from the template
itself, so that a later ``up`` or ``status`` without those flags compares with that and takes nothing back.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping

from fleet_cloud.aws.calls import Answer, Aws, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local.shell import Command
from fleet_cloud.plan import documents, resources
from fleet_cloud.plan.documents import Document, Registry
from fleet_cloud.plan.hooks import PAYLOAD_VERSION
from fleet_cloud.plan.resources import Facts, Resource, Versions

_DESCRIPTION = "Made by fleet-cloud."
_FROM_FILE = "Made by fleet-cloud from a file, sha256 {}."
_FROM_FILE_DIGEST = re.compile(re.escape(_FROM_FILE).replace(r"\{\}", "([0-9a-f]{64})"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemplateFlags:
    """What the flags say about the template; nothing for what they leave as it is.

    Args:
        body: The body from a file.
        registry: Thing type and groups.
        hook: The ARN of the function to ask; empty for none.
        asks: It is to ask the fleet's own function where it asks none.
        forget: Take back the file, thing type and groups of earlier runs.
    """

    body: Document | None = None
    registry: Registry = documents.NOWHERE
    hook: str | None = None
    asks: bool = False
    forget: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """What the template is to be."""

    body: object
    description: str
    registry: Registry
    hook: str


def digest(body: object) -> str:
    """Returns what a body is recognised by, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def design(names: FleetNames, found: Answer | None, flags: TemplateFlags) -> Design:
    """Returns what the template is to be.

    Args:
        names: The fleet's.
        found: What AWS says of the template, or nothing.
        flags: What was said now.
    """
    known = facts(found) if found else {}
    kept = None if flags.forget else known.get("body")
    was = Registry.of(kept)
    registry = Registry(
        thing_type=flags.registry.thing_type or was.thing_type,
        thing_group=flags.registry.thing_group or was.thing_group,
        billing_group=flags.registry.billing_group or was.billing_group,
    )
    hook = str(known.get("hook", "")) if flags.hook is None else flags.hook
    from_file = _FROM_FILE_DIGEST.fullmatch(str(known.get("description", "")))
    body: object
    if flags.body is not None:
        body, description = flags.body, _FROM_FILE.format(digest(flags.body))
        # What the file names literally must be there before the first device comes.
        registry = Registry.of(body) if flags.registry == documents.NOWHERE else flags.registry
    elif from_file and kept is not None:
        # Its file is not available; it can only be checked whether it is still what was uploaded.
        body = kept if digest(kept) == from_file[1] else f"sha256 {from_file[1]}"
        description = from_file[0]
    else:
        body, description = (
            documents.template_body(names, registry, remembers=is_own_hook(names, hook)),
            _DESCRIPTION,
        )
    return Design(body=body, description=description, registry=registry, hook=hook)


def is_own_hook(names: FleetNames, arn: str) -> bool:
    """Whether a template asks the fleet's own function."""
    return arn.endswith(f":function:{names.hook}")


def facts(answer: Answer) -> Facts:
    """Returns what of AWS's answer must fit."""
    hook = answer.get("preProvisioningHook")
    return {
        "body": documents.parsed(text(answer, "templateBody"), of="the template's body"),
        "role": text(answer, "provisioningRoleArn"),
        "enabled": answer.get("enabled"),
        "description": answer.get("description") or "",
        "hook": hook.get("targetArn", "") if isinstance(hook, Mapping) else "",
    }


def is_ours(answer: Answer) -> bool:
    """Whether a template has our own body, and so its devices our own policy."""
    return answer.get("description") == _DESCRIPTION


def registry_of(answer: Answer) -> Registry:
    """Returns where a template puts its things."""
    return Registry.of(facts(answer)["body"])


def read(aws: Aws, names: FleetNames) -> Command:
    """Returns the command that describes the template."""
    return aws.command("iot", "describe-provisioning-template", "--template-name", names.template)


def missing(
    template: str,
    region: str,
    why: str = "",
    remedy: str = "set the fleet up first: fleet-cloud up (with the same --name and --region)",
) -> FleetCloudError:
    """Returns the error for a template that does not exist; ``why`` says why that matters."""
    title = f"there is no provisioning template {template} in {region}"
    return FleetCloudError(
        f"{title}: {why}" if why else title, remedy=remedy, code="template-missing"
    )


def template(aws: Aws, names: FleetNames, account: Account, wanted: Design) -> Resource:
    """Returns the provisioning template; disabled, it refuses every device."""
    named = ["--template-name", names.template]
    role_arn = ["--provisioning-role-arn", account.role(names.role)]
    described = ["--description", wanted.description]
    hook = ["--pre-provisioning-hook", f"payloadVersion={PAYLOAD_VERSION},targetArn={wanted.hook}"]
    update = ("iot", "update-provisioning-template", *named)
    fixes = {
        "role": aws.command(*update, *role_arn),
        "enabled": aws.command(*update, "--enabled"),
        "description": aws.command(*update, *described),
        "hook": aws.command(
            *update, *(hook if wanted.hook else ["--remove-pre-provisioning-hook"])
        ),
    }
    body: list[str] = []
    if isinstance(wanted.body, Mapping):
        body = ["--template-body", documents.compact(wanted.body)]
        version = ("iot", "create-provisioning-template-version", *named)
        # The description first: after an interruption between them it says that the body is not what it should be.
        fixes["body"] = aws.command(*version, *body, "--set-as-default")
    return Resource(
        kind="template",
        name=names.template,
        read=read(aws, names),
        facts=facts,
        wanted={
            "body": wanted.body,
            "role": role_arn[1],
            "enabled": True,
            "description": wanted.description,
            "hook": wanted.hook,
        },
        create=aws.command(
            "iot",
            "create-provisioning-template",
            *named,
            *body,
            *role_arn,
            *described,
            *(hook if wanted.hook else []),
            "--enabled",
            *resources.tags(names),
        ),
        fixes=fixes,
        versions=versions(aws, names),
    )


def versions(aws: Aws, names: FleetNames) -> Versions:
    """Returns the template's versions."""
    named = ["--template-name", names.template]
    return Versions(
        read=aws.command("iot", "list-provisioning-template-versions", *named),
        key="versions",
        delete=lambda number: aws.command(
            "iot", "delete-provisioning-template-version", *named, "--version-id", number
        ),
    )
