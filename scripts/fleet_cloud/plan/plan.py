"""Everything a fleet needs in the cloud, and what AWS says of it: what ``up`` makes and ``status`` compares."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_cloud.aws.calls import Answer, Aws, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.plan import (
    credentials,
    documents,
    hook_settings,
    hooks,
    registry,
    resources,
    templates,
)
from fleet_cloud.plan.credentials import CredentialsFlags
from fleet_cloud.plan.resources import Resource
from fleet_cloud.plan.serials import Rules
from fleet_cloud.plan.templates import Design, TemplateFlags


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is wanted, in the order in which it is made, each with what AWS says of it.

    Args:
        account: Where.
        design: Its template.
        wanted: Each resource, with the answer.
        was_asking: The template asks the fleet's hook already.
    """

    account: Account
    design: Design
    wanted: Sequence[tuple[Resource, Answer | None]]
    was_asking: bool = False


def look(aws: Aws, names: FleetNames) -> tuple[Account, Answer | None]:
    """Asks whose credentials these are, and for the template."""
    caller, template = aws.ask_all(
        [aws.command("sts", "get-caller-identity"), templates.read(aws, names)]
    )
    return Account.of_caller(text(caller, "Arn"), aws.region), template


def check_hook(wanted: Plan, rules: Rules | None) -> None:
    """Checks that all of it can be made.

    Raises:
        FleetCloudError: The template asks a hook that is gone, and nothing says what it decided.
    """
    for resource, answer in wanted.wanted:
        if resource.kind == hooks.FUNCTION and wanted.was_asking and not answer and not rules:
            raise FleetCloudError(
                f"the template asks the hook {resource.name}, and that function is gone: no device can register",
                remedy="run fleet-cloud up with --hook-allow FILE, --hook-pattern REGEX or --hook-any; if only "
                "expected devices were let in, say that again with fleet-cloud devices expect --only",
                code="hook-missing",
            )


def of_fleet(  # noqa: PLR0913 - what the flags say, all of it
    aws: Aws,
    names: FleetNames,
    flags: TemplateFlags,
    rules: Rules | None = None,
    folder: Path = Path(),
    *,
    rotation: bool | None = None,
    vending: CredentialsFlags = credentials.NONE,
) -> Plan:
    """Returns what is wanted of this fleet.

    Args:
        aws: Asks.
        names: The fleet's.
        flags: What the flags say about its template.
        rules: What its hook is to decide; nothing for what it decides already.
        folder: Where a file that is sent to AWS may lie.
        rotation: Whether its devices may replace their certificates; nothing for what the policy says already.
        vending: Role aliases that devices may use beside those that they may already.
    """
    account, template = look(aws, names)
    asked = str(templates.facts(template)["hook"]) if template else ""
    if rules or (flags.asks and not asked):
        flags = dataclasses.replace(flags, hook=account.function(names.hook))
    design = templates.design(names, template, flags)
    wanted = [
        *resources.of_fleet(aws, names, account, rotation=bool(rotation)),
        *registry.of_fleet(aws, names, design.registry),
        *credentials.of_fleet(aws, names, account, vending),
    ]
    if design.hook == account.function(names.hook):
        body = design.body
        if not isinstance(body, Mapping) and template:
            body = templates.facts(template)["body"]
        wanted += _hook(aws, names, account, body, rules, folder)
    answers = aws.ask_all([resource.read for resource in wanted])
    pairs = [
        (_with_rights(aws, names, account, resource, answer, rotation, vending), answer)
        for resource, answer in zip(wanted, answers, strict=True)
    ]
    pairs.append((templates.template(aws, names, account, design), template))
    was_asking = templates.is_own_hook(names, asked)
    return Plan(account=account, design=design, wanted=pairs, was_asking=was_asking)


def _hook(
    aws: Aws,
    names: FleetNames,
    account: Account,
    body: object,
    rules: Rules | None,
    folder: Path,
) -> list[Resource]:
    """Returns what belongs to the hook; what it decides already is kept, where nothing else is said."""
    (found,) = aws.ask_all([hooks.read(aws, names)])
    settings = hook_settings.of_fleet(body, rules, hooks.settings_of(found))
    serials = (rules.allow or ()) if rules else None
    return hooks.of_fleet(aws, names, account, settings, serials, folder)


def _with_rights(  # noqa: PLR0913, PLR0917 - of one resource, all that decides it
    aws: Aws,
    names: FleetNames,
    account: Account,
    wanted: Resource,
    answer: Answer | None,
    rotation: bool | None,
    vending: CredentialsFlags,
) -> Resource:
    """Returns the device policy with what the flags say, or else what it has; other resources as they are."""
    if wanted.kind != resources.DEVICE_POLICY:
        return wanted
    found = (wanted.facts(answer) or {}).get("document") if answer else None
    if rotation is None:
        rotation = documents.lets_rotate(found, account)
    aliases = vending.beside(documents.role_aliases(found))
    return resources.device_policy(aws, names, account, rotation=rotation, aliases=aliases)
