"""Reconciles one resource: creates it if it is missing, corrects what differs."""

import dataclasses

from fleet_cloud.aws.calls import Answer, Aws
from fleet_cloud.aws.causes import PRESENT_CODES
from fleet_cloud.errors import CommandError
from fleet_cloud.local.shell import Command
from fleet_cloud.plan.resources import Resource

# AWS keeps five versions of a policy and of a template; the one to be made is the fifth.
_VERSIONS_BEFORE_ONE_MORE = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome for one resource: ``created``, ``updated``, ``missing``, ``unchanged`` or ``differs``."""

    resource: Resource
    state: str
    drift: list[str] = dataclasses.field(default_factory=list)

    @property
    def fixing(self) -> list[Command]:
        """The commands that correct the drift, or would correct it."""
        return self.resource.fixing(self.drift)


def compare(resource: Resource, answer: Answer | None) -> Finding:
    """Returns whether a resource is there, and whether it is what it must be; changes nothing.

    Args:
        resource: What is wanted.
        answer: What AWS says of it, or nothing.
    """
    found = resource.facts(answer) if answer else None
    if found is None:
        return Finding(resource=resource, state="missing")
    drift = resource.drift(found)
    return Finding(resource=resource, state="differs" if drift else "unchanged", drift=drift)


def ensure(aws: Aws, resource: Resource, answer: Answer | None) -> Finding:
    """Makes a resource that does not exist; fixes one that differs, as far as there is a command for it.

    Args:
        aws: Makes and fixes it.
        resource: What is wanted.
        answer: What AWS says of it, or nothing.
    """
    finding = compare(resource, answer)
    if finding.state == "missing":
        finding = _make(aws, finding)
    return _fix(aws, finding) if finding.state == "differs" else finding


def _make(aws: Aws, missing: Finding) -> Finding:
    resource = missing.resource
    verb = "would make" if aws.shell.dry_run else "making"
    aws.shell.console.say(f"  {verb} {resource.kind} {resource.name}")
    _provide(aws, resource)
    try:
        aws.change(resource.create)
    except CommandError as error:
        if error.code not in PRESENT_CODES:
            raise
        # Somebody else, or an earlier try whose answer was lost, has made it meanwhile.
        return compare(resource, aws.ask(resource.read))
    return missing if aws.shell.dry_run else dataclasses.replace(missing, state="created")


def _fix(aws: Aws, differing: Finding) -> Finding:
    """Corrects what differs; what no command can correct stays ``differs``."""
    resource, console = differing.resource, aws.shell.console
    console.say(f"  {resource.kind} {resource.name} differs in {', '.join(differing.drift)}")
    fixable = [path for path in differing.drift if resource.fixing([path])]
    commands = resource.fixing(fixable)
    if resource.versions and any(
        str(command.words[2]).endswith("-version") for command in commands
    ):
        listed = aws.ask(resource.versions.read)
        commands = [*resource.versions.beyond(listed, _VERSIONS_BEFORE_ONE_MORE), *commands]
    _provide(aws, resource)
    for command in commands:
        aws.change(command)
    if fixable != differing.drift or aws.shell.dry_run:
        return differing
    console.say("    put right")
    return dataclasses.replace(differing, state="updated")


def _provide(aws: Aws, resource: Resource) -> None:
    if resource.upload:
        aws.shell.write_upload(*resource.upload)
