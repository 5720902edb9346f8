"""Brings one resource from what is there to what is wanted: makes what is missing, names what differs."""

import dataclasses

from fleet_cloud.aws import Aws
from fleet_cloud.causes import PRESENT_CODES
from fleet_cloud.errors import CommandError
from fleet_cloud.resources import Facts, Resource
from fleet_cloud.shell import Command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What became of one resource: ``created`` (in a dry run ``missing``), ``unchanged`` or ``differs``."""

    resource: Resource
    state: str
    drift: list[str] = dataclasses.field(default_factory=list)

    @property
    def mending(self) -> list[Command]:
        """The commands that would put the drift right."""
        return self.resource.mending(self.drift)


def ensure(aws: Aws, resource: Resource, found: Facts | None) -> Finding:
    """Make a resource that is not there; compare one that is.

    Args:
        aws: Makes it.
        resource: What is wanted.
        found: What is there, or nothing.
    """
    console = aws.shell.console
    if found is None:
        verb = "would make" if aws.shell.dry_run else "making"
        console.say(f"  {verb} {resource.kind} {resource.name}")
        try:
            aws.change(resource.create)
        except CommandError as error:
            if error.code not in PRESENT_CODES:
                raise
            # Somebody else, or an earlier try whose answer was lost, has made it meanwhile.
            found = resource.facts(aws.ask(resource.read))
        if found is None:
            return Finding(resource=resource, state="missing" if aws.shell.dry_run else "created")
    drift = resource.drift(found)
    if not drift:
        return Finding(resource=resource, state="unchanged")
    finding = Finding(resource=resource, state="differs", drift=drift)
    console.say(f"  {resource.kind} {resource.name} differs in {', '.join(drift)}")
    for command in finding.mending:
        console.say(f"    to put it right: {command}")
    return finding
