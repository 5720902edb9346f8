"""What is in an account, by name: to compare it before and after, and to find what a run made."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fleet_acceptance.account.cloud import Cloud, code_of

# A run's name, alone or before more; a topic rule has no hyphen.
RUN = re.compile(r"acc[-_](?P<digits>[0-9a-f]{6})(?=[-_]|$)")

Listing = dict[str, list[str]]


@dataclass(frozen=True)
class Kind:
    """One kind of thing that an account has, and the call that lists it; without ``name`` the entries are names."""

    word: str
    service: str
    operation: str
    key: str
    name: str | None


KINDS = (
    Kind("command", "iot", "list_commands", "commands", "commandId"),
    Kind("role alias", "iot", "list_role_aliases", "roleAliases", None),
    Kind("job", "iot", "list_jobs", "jobs", "jobId"),
    Kind("rule", "iot", "list_topic_rules", "rules", "ruleName"),
    Kind("topic", "sns", "list_topics", "Topics", "TopicArn"),
    Kind("queue", "sqs", "list_queues", "QueueUrls", None),
    Kind("function", "lambda", "list_functions", "Functions", "FunctionName"),
    Kind("log group", "logs", "describe_log_groups", "logGroups", "logGroupName"),
    Kind("thing", "iot", "list_things", "things", "thingName"),
    Kind("CA", "iot", "list_ca_certificates", "certificates", "certificateId"),
    Kind("certificate", "iot", "list_certificates", "certificates", "certificateId"),
    Kind("policy", "iot", "list_policies", "policies", "policyName"),
    Kind("template", "iot", "list_provisioning_templates", "templates", "templateName"),
    Kind("thing group", "iot", "list_thing_groups", "thingGroups", "groupName"),
    Kind("billing group", "iot", "list_billing_groups", "billingGroups", "groupName"),
    Kind("thing type", "iot", "list_thing_types", "thingTypes", "thingTypeName"),
    Kind("bucket", "s3", "list_buckets", "Buckets", "Name"),
    Kind("user", "iam", "list_users", "Users", "UserName"),
    Kind("role", "iam", "list_roles", "Roles", "RoleName"),
)


def everything(cloud: Cloud, *only: str) -> Listing:
    """Lists all of it, or these kinds: kind to sorted names.

    A kind that cannot be listed here is left out: its service or operation may not be there in a region, or not for
    this user, or not in this botocore. ``cloud.unlisted`` has the reason.
    """
    found: Listing = {}
    for kind in KINDS:
        if only and kind.word not in only:
            continue
        try:
            found[kind.word] = sorted(_names(cloud, kind))
        except (ClientError, BotoCoreError, AttributeError) as error:
            cloud.unlisted[kind.word] = _why(error, kind)
    return found


def _why(error: Exception, kind: Kind) -> str:
    """Says why a kind cannot be listed."""
    if isinstance(error, ClientError):
        return f"{kind.service} {kind.operation}: {code_of(error)}"
    if isinstance(error, AttributeError):
        return f"{kind.service} {kind.operation}: this botocore does not know it"
    return f"{kind.service} {kind.operation}: {error}"


def _names(cloud: Cloud, kind: Kind) -> Iterator[str]:
    """Yields the names of one kind.

    Raises:
        ClientError: AWS refused.
        BotoCoreError: there was no answer.
        AttributeError: botocore does not know the operation.
    """
    client = cloud.client(kind.service)
    call = getattr(client, kind.operation)
    if client.can_paginate(kind.operation):
        pages: Any = client.get_paginator(kind.operation).paginate()
    else:
        pages = [call()]
    for page in pages:
        for entry in page.get(kind.key, []):
            # A command that is deleted is shown for some hours.
            if isinstance(entry, dict) and entry.get("pendingDeletion"):
                continue
            yield str(entry if kind.name is None else entry[kind.name])


def plural(kind: str) -> str:
    """Gives the word for several of a kind."""
    if kind.endswith("y"):
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def run_of(name: str) -> str | None:
    """Gives the run that a name belongs to, as it is written with a hyphen."""
    last = re.split(r"[/:]", name)[-1]
    found = RUN.match(last)
    return f"acc-{found['digits']}" if found else None


def of_run(listing: Listing, run: str) -> dict[str, list[str]]:
    """Gives what bears a run's name, by kind."""
    found = {
        kind: [name for name in there if run_of(name) == run] for kind, there in listing.items()
    }
    return {kind: there for kind, there in found.items() if there}


def changes(before: Listing, after: Listing) -> Mapping[str, list[str]]:
    """Gives what came and what went, by kind that was listed both times: ``+name`` and ``-name``."""
    found = {}
    for kind in before.keys() & after.keys():
        old, new = set(before[kind]), set(after[kind])
        if old != new:
            found[kind] = [*(f"+{name}" for name in sorted(new - old))]
            found[kind] += [f"-{name}" for name in sorted(old - new)]
    return found
