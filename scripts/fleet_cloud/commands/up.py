"""``fleet-cloud up``: makes what a fleet needs in the cloud, and corrects what differs."""

import argparse
from pathlib import Path

from fleet_cloud.aws.names import check_not_claim
from fleet_cloud.errors import Exit, UsageError
from fleet_cloud.local import files
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table
from fleet_cloud.plan import credentials, device_policy, plan, registry, serials, template_check
from fleet_cloud.plan.documents import Document, Registry
from fleet_cloud.plan.reconcile import Finding, ensure
from fleet_cloud.plan.templates import TemplateFlags

NAME = ("up",)
SUMMARY = "create the role, the policies, the provisioning template and its hook"
OPEN = (
    "without a hook, whoever has a claim and knows a serial number becomes that device, even one in service: it gets a "
    "second certificate"
)
FOR_ALL = (
    "the policy of the credentials role names no device (${credentials-iot:ThingName}): each device may do "
    "all of it"
)
DESCRIPTION = """\
Creates what a fleet needs in the cloud, as far as it is missing: the role NAME-provisioning with the managed policy
AWSIoTThingsRegistration, the policies NAME-device and NAME-claim, and the provisioning template NAME, enabled.
Everything that can carry tags is tagged fleet=NAME and made-by=fleet-cloud.

When run again, it changes nothing and says so; after an interruption, it resumes. Differences are corrected: a changed
policy or template body becomes a new default version, and of five versions the oldest is deleted. What no command can
correct is listed, and the exit status is 1. To look first, use --dry-run or status.

An existing thing type, thing group or billing group is used as it is. They, a template file and a hook are remembered
in the cloud: a later up without the flags keeps them.

A template file is checked before it is uploaded: size, sections, functions, the certificate, and that no policy allows
everything. All faults are reported at once.

--rotation lets devices replace their own certificates (fleet-agent rotate) and receive AWS IoT Jobs that order it. It
gives every device the rights of a claim: to request certificates and to register with this template, under any serial
number that the hook accepts. --jobs lets devices take their own AWS IoT Jobs, --commands their own AWS IoT Commands.
These are remembered in the cloud, too; --no-rotation, --no-jobs and --no-commands revoke them.

--device-policy-file FILE uses your own policy for the devices, unchanged; it cannot be combined with the flags for
rights. It is remembered by a tag, and stays until --default-device-policy.

--credentials lets programs on devices get AWS credentials of a role, by its alias (fleet-agent credentials): with
ALIAS=ROLE-ARN of an existing role, with --credentials-policy FILE of a new role, NAME-credentials, which only AWS IoT's
credentials provider may assume. Remembered in the cloud, too; --no-credentials revokes it.

The hook is a Lambda function, NAME-hook, that AWS IoT calls before it registers a device. A thing that never had a
certificate may register. A thing that had one cannot be taken over: it accepts only the key of a current or its last
certificate, its expected key (devices expect), a session under its own certificate, and what an operator allows
(devices allow). With a list or a pattern, only serial numbers (parameter SerialNumber) on the list, or matching the
whole pattern, may register at all. Refused devices: devices waiting. --no-hook creates none.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the template may have beyond the least."""
    parser.add_argument("--thing-type", metavar="TYPE", help="thing type of the fleet's things")
    parser.add_argument("--thing-group", metavar="GROUP", help="thing group to put them into")
    parser.add_argument("--billing-group", metavar="GROUP", help="their billing group")
    parser.add_argument(
        "--template-file", metavar="FILE", type=Path, help="your own template body, JSON"
    )
    parser.add_argument(
        "--allow-wildcard-policy",
        action="store_true",
        help="accept a template file whose policy allows every action or resource",
    )
    parser.add_argument(
        "--default-template",
        action="store_true",
        help="go back to the body of fleet-cloud, without the file, type and groups of earlier runs",
    )
    device_policy.add_to(parser)
    _add_credentials(parser)
    _add_hook(parser)


def _add_credentials(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("AWS credentials for programs on devices")
    group.add_argument(
        "--credentials",
        metavar="ALIAS[=ROLE-ARN]",
        action="append",
        default=[],
        help="role alias that devices may use, and its role; without a role, the one that up creates; may be "
        "repeated",
    )
    group.add_argument(
        "--credentials-policy",
        metavar="FILE",
        type=Path,
        help="IAM policy of that role; its alias is NAME-credentials unless --credentials gives another",
    )
    group.add_argument(
        "--no-credentials",
        action="store_true",
        help="revoke the use of role aliases",
    )


def _add_hook(parser: argparse.ArgumentParser) -> None:
    hook = parser.add_argument_group("pre-provisioning hook")
    hook.add_argument(
        "--hook-allow",
        metavar="FILE",
        type=Path,
        help="file of serial numbers that may register, one a line",
    )
    hook.add_argument(
        "--hook-pattern",
        metavar="REGEX",
        help="regular expression of serial numbers that may register",
    )
    hook.add_argument(
        "--hook-any", action="store_true", help="let every serial number register again"
    )
    hook.add_argument(
        "--no-hook",
        action="store_true",
        help="use no hook: whoever has a claim can become any device, even one in service",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Creates what is missing, corrects what differs."""
    check_not_claim("--name", context.names.fleet)
    flags = _flags(arguments)
    rights_flags = device_policy.read(arguments)
    rules = serials.read_rules(
        arguments.hook_allow, arguments.hook_pattern, any_serial=arguments.hook_any
    )
    if rules and arguments.no_hook:
        raise UsageError("--no-hook and another hook flag", remedy="pass only one of them")
    credentials_flags = credentials.read(
        context.names,
        arguments.credentials,
        arguments.credentials_policy,
        forget=arguments.no_credentials,
    )
    if credentials_flags.is_for_all:
        context.console.say(FOR_ALL)
    aws = context.aws()
    with files.temporary_folder() as folder:
        # When run by hand, the script creates the file where it runs.
        uploads = Path() if context.shell.dry_run else folder
        wanted = plan.of_fleet(
            aws,
            context.names,
            flags,
            rules,
            uploads,
            rights_flags=rights_flags,
            credentials_flags=credentials_flags,
        )
        plan.check_hook(wanted, rules)
        if not wanted.design.hook:
            context.console.say(OPEN)
        account = wanted.account
        context.console.say(
            f"fleet {context.names.fleet} in account {account.number}, {account.region}"
        )
        findings = [ensure(aws, resource, answer) for resource, answer in wanted.wanted]
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "account": account.number,
            "region": account.region,
            "dry_run": context.shell.dry_run,
            "changed": any(finding.state in {"created", "updated"} for finding in findings),
            "resources": [describe(finding) for finding in findings],
        },
        lines=_lines(context, findings),
        status=Exit.DONE if context.shell.dry_run else _status(findings),
    )


def describe(finding: Finding) -> dict[str, object]:
    """Returns a finding for programs."""
    return {
        "kind": finding.resource.kind,
        "name": finding.resource.name,
        "state": finding.state,
        "differences": finding.drift,
        "fixing": [str(command) for command in finding.fixing],
    }


def _flags(arguments: argparse.Namespace) -> TemplateFlags:
    if arguments.default_template and arguments.template_file:
        raise UsageError("--default-template and --template-file", remedy="pass only one of them")
    names = {
        "thing_type": arguments.thing_type,
        "thing_group": arguments.thing_group,
        "billing_group": arguments.billing_group,
    }
    for name, value in names.items():
        registry.check(f"--{name.replace('_', '-')}", value)
    path: Path | None = arguments.template_file
    return TemplateFlags(
        body=_body(path, allow_wildcard=arguments.allow_wildcard_policy) if path else None,
        registry=Registry(**names),
        hook="" if arguments.no_hook else None,
        asks=not arguments.no_hook,
        forget=arguments.default_template,
    )


def _body(path: Path, *, allow_wildcard: bool) -> Document:
    text = files.read(path)
    if text is None:
        raise UsageError(f"--template-file {path} does not exist", remedy="check its name")
    body, found = template_check.read(text)
    if body is not None:
        found += template_check.problems(body, allow_wildcard=allow_wildcard)
    if body is None or found:
        raise UsageError(
            f"--template-file {path} cannot be a fleet's template:",
            remedy="correct that; nothing was sent to AWS yet",
            details=found,
        )
    return body


def _status(findings: list[Finding]) -> Exit:
    return Exit.FAILED if any(finding.state == "differs" for finding in findings) else Exit.DONE


def _lines(context: Context, findings: list[Finding]) -> list[str]:
    rows = [[finding.resource.kind, finding.resource.name, finding.state] for finding in findings]
    states = {finding.state for finding in findings}
    if "differs" in states:
        end = "something differs from what up would create and was not changed: see above"
    elif states == {"unchanged"}:
        end = "nothing to do: everything exists"
    else:
        end = f"done; next: fleet-cloud claim new --image image{_name_flag(context)}"
    return [*table(rows), end]


def _name_flag(context: Context) -> str:
    return "" if context.names.fleet == "fleet" else f" --name {context.names.fleet}"
