"""What is in an account, by name: to compare it before and after, and to find what a run made."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet_acceptance.account.cloud import Cloud

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


def everything(cloud: Cloud) -> Listing:
    """List all of it: kind to sorted names."""
    return {kind.word: sorted(names(cloud, kind)) for kind in KINDS}


def names(cloud: Cloud, kind: Kind) -> Iterator[str]:
    """Yield the names of one kind."""
    client = cloud.client(kind.service)
    if client.can_paginate(kind.operation):
        pages: Any = client.get_paginator(kind.operation).paginate()
    else:
        pages = [getattr(client, kind.operation)()]
    for page in pages:
        for entry in page.get(kind.key, []):
            # A command that is deleted is shown for some hours.
            if isinstance(entry, dict) and entry.get("pendingDeletion"):
                continue
            yield str(entry if kind.name is None else entry[kind.name])


def run_of(name: str) -> str | None:
    """Give the run that a name belongs to, as it is written with a hyphen."""
    last = re.split(r"[/:]", name)[-1]
    found = RUN.match(last)
    return f"acc-{found['digits']}" if found else None


def of_run(listing: Listing, run: str) -> dict[str, list[str]]:
    """Give what bears a run's name, by kind."""
    found = {
        kind: [name for name in there if run_of(name) == run] for kind, there in listing.items()
    }
    return {kind: there for kind, there in found.items() if there}


def changes(before: Listing, after: Listing) -> Mapping[str, list[str]]:
    """Give what came and what went, by kind: ``+name`` and ``-name``."""
    found = {}
    for kind in before.keys() | after.keys():
        old, new = set(before.get(kind, [])), set(after.get(kind, []))
        if old != new:
            found[kind] = [*(f"+{name}" for name in sorted(new - old))]
            found[kind] += [f"-{name}" for name in sorted(old - new)]
    return found
