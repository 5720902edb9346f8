"""What a fleet's devices may do beyond the least, and how the policy in the cloud remembers it. Pure."""

import dataclasses
from collections.abc import Mapping

from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.plan.documents import (
    ORDER_TOPIC,
    TELEMETRY_TOPIC,
    THING,
    Document,
    allow,
    assume_role_statement,
    provisioning_topics,
    role_aliases,
)

JOBS_TOPIC = f"$aws/things/{THING}/jobs/*"
_EXECUTIONS = f"$aws/commands/things/{THING}/executions"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rights:
    """What devices may do beyond the least.

    Args:
        rotation: Replace their certificates, and receive jobs that order it.
        jobs: Take jobs.
        commands: Take commands.
        aliases: Role aliases whose AWS credentials their programs may have.
    """

    rotation: bool = False
    jobs: bool = False
    commands: bool = False
    aliases: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RightsFlags:
    """The flags about rights; None leaves a right as the policy has it.

    Args:
        policy: A policy of the operator's own.
        default: Return from such a policy to fleet-cloud's.
    """

    rotation: bool | None = None
    jobs: bool | None = None
    commands: bool | None = None
    policy: Document | None = None
    default: bool = False

    @property
    def is_of_rights(self) -> bool:
        """Whether a right is named."""
        return any(right is not None for right in (self.rotation, self.jobs, self.commands))

    def over(self, found: Rights) -> Rights:
        """Returns the resulting rights, where the policy had these before."""
        return Rights(
            rotation=found.rotation if self.rotation is None else self.rotation,
            jobs=found.jobs if self.jobs is None else self.jobs,
            commands=found.commands if self.commands is None else self.commands,
            aliases=found.aliases,
        )


NO_RIGHTS_FLAGS = RightsFlags()
LEAST = Rights()


def device_policy(account: Account, names: FleetNames, rights: Rights = LEAST) -> Document:
    """Returns what a provisioned device may do: connect as its own thing, and use that thing's topics.

    It only receives orders: who has a device's key must not be able to give any, not even to that device.
    ``IsAttached`` matters: without it a certificate could take the client id, and so the variable, of a thing that
    it does not belong to. With rotation it may provision, as a claim may.
    """
    both = (TELEMETRY_TOPIC, *_reserved(names, rights))
    answers = (f"{_EXECUTIONS}/*/response/*",) if rights.commands else ()
    requests = (f"{_EXECUTIONS}/*/request*",) if rights.commands else ()
    filters = (f"{_EXECUTIONS}/+/re*",) if rights.commands else ()
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": account.iot(f"client/{THING}"),
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
            },
            allow(account, ["iot:Publish", "iot:Receive"], "topic", (*both, *answers)),
            allow(
                account,
                "iot:Subscribe",
                "topicfilter",
                (TELEMETRY_TOPIC, ORDER_TOPIC, *both[1:], *filters),
            ),
            allow(account, "iot:Receive", "topic", (ORDER_TOPIC, *requests)),
            *([assume_role_statement(account, rights.aliases)] if rights.aliases else []),
        ],
    }


def found_in(policy: object, account: Account) -> Rights:
    """Returns the rights that a policy gives, or gave before somebody changed it."""
    statements = policy.get("Statement") if isinstance(policy, Mapping) else None
    resources = [
        resource
        for statement in (statements if isinstance(statements, list) else [])
        if isinstance(statement, Mapping) and isinstance(statement.get("Resource"), list)
        for resource in statement["Resource"]
    ]
    jobs = account.iot(f"topic/{JOBS_TOPIC}")
    provisioning = account.iot("topic/$aws/certificates/create/*")
    rotates = provisioning in resources
    # Jobs come with rotation, behind it; before it they were requested separately, and stay without it.
    has_jobs = jobs in resources and not (
        rotates and resources.index(provisioning) < resources.index(jobs)
    )
    return Rights(
        rotation=rotates,
        jobs=has_jobs,
        commands=account.iot(f"topic/{_EXECUTIONS}/*/response/*") in resources,
        aliases=tuple(role_aliases(policy)),
    )


def _reserved(names: FleetNames, rights: Rights) -> tuple[str, ...]:
    if rights.jobs:
        return (JOBS_TOPIC, *(provisioning_topics(names) if rights.rotation else ()))
    return (*provisioning_topics(names), JOBS_TOPIC) if rights.rotation else ()
