"""Everything a fleet needs in the cloud, with its present state: what ``up`` creates and ``status`` compares."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_cloud.aws.calls import Answer, Aws, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.plan import (
    credentials,
    hook_settings,
    hooks,
    registry,
    resources,
    rights,
    templates,
)
from fleet_cloud.plan.credentials import CredentialsFlags
from fleet_cloud.plan.resources import Resource
from fleet_cloud.plan.rights import RightsFlags
from fleet_cloud.plan.serials import Rules
from fleet_cloud.plan.templates import Design, TemplateFlags


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is wanted, in the order in which it is created, each with what AWS says of it.

    Args:
        account: Where.
        design: Its template.
        wanted: Each resource, with the answer.
        had_hook: The template already has the fleet's hook.
    """

    account: Account
    design: Design
    wanted: Sequence[tuple[Resource, Answer | None]]
    had_hook: bool = False


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
        if resource.kind == hooks.FUNCTION and wanted.had_hook and not answer and not rules:
            raise FleetCloudError(
                f"the template calls the hook {resource.name}, but that function no longer exists: no device can "
                "register",
                remedy="run fleet-cloud up with --hook-allow FILE, --hook-pattern REGEX or --hook-any; if only "
                "expected devices were accepted, set that again with fleet-cloud devices expect --only",
                code="hook-missing",
            )


def of_fleet(  # noqa: PLR0913 - what the flags say, all of it
    aws: Aws,
    names: FleetNames,
    flags: TemplateFlags,
    rules: Rules | None = None,
    folder: Path = Path(),
    *,
    rights_flags: RightsFlags = rights.NO_RIGHTS_FLAGS,
    credentials_flags: CredentialsFlags = credentials.NONE,
) -> Plan:
    """Returns what is wanted of this fleet.

    Args:
        aws: Asks.
        names: The fleet's.
        flags: What the flags say about its template.
        rules: What its hook is to decide; nothing for what it decides already.
        folder: Where a file that is sent to AWS may lie.
        rights_flags: What its devices may do; of what is not said, what the policy says already.
        credentials_flags: Role aliases that devices may use, in addition to those already allowed.
    """
    account, template = look(aws, names)
    asked = str(templates.facts(template)["hook"]) if template else ""
    if rules or (flags.asks and not asked):
        flags = dataclasses.replace(flags, hook=account.function(names.hook))
    design = templates.design(names, template, flags)
    wanted = [
        *resources.of_fleet(aws, names, account),
        *registry.of_fleet(aws, names, design.registry),
        *credentials.of_fleet(aws, names, account, credentials_flags),
    ]
    if design.hook == account.function(names.hook):
        body = design.body
        if not isinstance(body, Mapping) and template:
            body = templates.facts(template)["body"]
        wanted += _hook(aws, names, account, body, rules, folder)
    answers = aws.ask_all([resource.read for resource in wanted])
    pairs: list[tuple[Resource, Answer | None]] = []
    for resource, answer in zip(wanted, answers, strict=True):
        if resource.kind == resources.DEVICE_POLICY:
            found = (resource.facts(answer) or {}).get("document") if answer else None
            inputs = _PolicyInputs(
                rights=rights_flags, credentials_flags=credentials_flags, found=found
            )
            pairs += [
                (each, answer if is_it else _tags(aws, each))
                for each, is_it in _device_policy(aws, names, account, inputs)
            ]
        else:
            pairs.append((resource, answer))
    pairs.append((templates.template(aws, names, account, design), template))
    had_hook = templates.is_own_hook(names, asked)
    return Plan(account=account, design=design, wanted=pairs, had_hook=had_hook)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class _PolicyInputs:
    """What the device policy is made from: what the flags say, and the document that exists."""

    rights: RightsFlags
    credentials_flags: CredentialsFlags
    found: object


def _device_policy(
    aws: Aws, names: FleetNames, account: Account, inputs: _PolicyInputs
) -> list[tuple[Resource, bool]]:
    """Returns the device policy as it is to be (true), and its mark where it is the operator's own, or was.

    Raises:
        UsageError: Rights are asked for as well as a policy of the operator's own.
    """
    flags, found = inputs.rights, inputs.found
    mark = resources.mark_of_own_policy(aws, names, account, is_own=not flags.default)
    if flags.policy is not None:
        return [(resources.device_policy(aws, names, flags.policy), True), (mark, False)]
    has = rights.found_in(found, account)
    aliases = tuple(inputs.credentials_flags.added_to([*has.aliases]))
    wanted = dataclasses.replace(flags.over(has), aliases=aliases)
    ours = resources.device_policy(aws, names, rights.device_policy(account, names, wanted))
    is_ours = found is None or found == rights.device_policy(account, names, has)
    if is_ours or not resources.is_marked(_tags(aws, mark)):
        return [(ours, True)]
    if flags.default:
        return [(ours, True), (mark, False)]
    if flags.is_of_rights or aliases != has.aliases:
        raise UsageError(
            f"the policy {names.device_policy} is your own (--device-policy-file)",
            remedy="add the rights to it and run fleet-cloud up --device-policy-file FILE, or return to the policy "
            "of fleet-cloud with --default-device-policy",
        )
    kept = found if isinstance(found, Mapping) else {}
    return [(resources.device_policy(aws, names, kept), True), (mark, False)]


def _tags(aws: Aws, mark: Resource) -> Answer | None:
    (answer,) = aws.ask_all([mark.read])
    return answer
