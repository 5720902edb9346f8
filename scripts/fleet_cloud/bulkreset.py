"""Takes a bulk registration away: its things and certificates, then what was made for them, then the local files."""

from collections.abc import Sequence
from pathlib import Path

from fleet_cloud import bulkcloud, confirm, inventory, retire, teardown
from fleet_cloud.aws import Answer, Aws, entries, strings
from fleet_cloud.bulkcloud import BulkNames
from fleet_cloud.bulkfolder import BulkFolder, Record
from fleet_cloud.commands import Outcome
from fleet_cloud.errors import Exit
from fleet_cloud.inventory import ACTIVE, Certificate
from fleet_cloud.options import Context
from fleet_cloud.shell import Command

Task = tuple[str, Sequence[Command]]

# AWS deletes a thing type five minutes after it was deprecated, and a policy up to five after it was detached.
_PATIENCE_SECONDS = 330.0


def run(context: Context, path: Path, *, yes: bool) -> Outcome:
    """Ask, and delete."""
    aws, folder = context.aws(), BulkFolder(path)
    bulk = BulkNames(context.names, aws.account())
    record = folder.read()
    certificates = _certificates(aws, bulk)
    things = sum(len(names) for names in certificates.values())
    rest = _rest(aws, bulk, record)
    if certificates or rest:
        confirm.confirm(
            context,
            f"Delete {things} things, {len(certificates)} certificates and what was made for them for good?",
            yes=yes,
        )
    types = [name for name, _ in rest if name.startswith("thing type ")]
    left = retire.run_all(aws, _deprecation(aws, record if types else None), "")
    tasks = [_certificate_task(aws, arn, names) for arn, names in certificates.items()]
    left |= retire.run_all(aws, tasks, "deleting things and their certificates")
    if not left:
        for name, commands in rest:
            left |= retire.run_all(aws, [(name, commands)], "", _PATIENCE_SECONDS)
    if record and not left and not context.shell.dry_run:
        folder.clear(record)
    return _outcome(context, things, sorted(left), empty=not certificates and not rest)


def _certificates(aws: Aws, bulk: BulkNames) -> dict[str, list[str]]:
    """Ask which certificates have the policy, and which things they belong to."""
    (told,) = aws.ask_all([inventory.targets(aws, bulk.policy)])
    arns = strings(told, "targets")
    answers = aws.ask_all(
        [aws.command("iot", "list-principal-things", "--principal", arn) for arn in arns],
        "asking which thing each certificate has",
    )
    return {arn: strings(answer, "things") for arn, answer in zip(arns, answers, strict=True)}


def _certificate_task(aws: Aws, arn: str, things: Sequence[str]) -> Task:
    certificate = Certificate(arn=arn, status=ACTIVE, created=None)
    commands = retire.certificate_commands(aws, certificate, things)
    commands += [aws.command("iot", "delete-thing", "--thing-name", name) for name in things]
    return certificate.identifier, commands


def _deprecation(aws: Aws, record: Record | None) -> list[Task]:
    if not record:
        return []
    named = ("--thing-type-name", record.thing_type)
    return [(record.thing_type, [aws.command("iot", "deprecate-thing-type", *named)])]


def _rest(aws: Aws, bulk: BulkNames, record: Record | None) -> list[Task]:
    """Return what else is there, by name, with the commands that delete it."""
    needed = bulkcloud.needed(aws, bulk, record.thing_type if record else "")
    there = {
        resource.kind
        for resource, answer in zip(
            needed, aws.ask_all([resource.read for resource in needed]), strict=True
        )
        if answer is not None
    }
    tasks: list[Task] = []
    if "thing policy" in there:
        named = ("--policy-name", bulk.policy)
        tasks.append((f"policy {bulk.policy}", _policy(aws, named)))
    if "thing type" in there and record and _is_ours(aws, bulk, record.thing_type):
        named = ("--thing-type-name", record.thing_type)
        tasks.append(
            (f"thing type {record.thing_type}", [aws.command("iot", "delete-thing-type", *named)])
        )
    if "bucket" in there:
        tasks.append((f"bucket {bulk.bucket}", _bucket(aws, bulk)))
    if "bulk role" in there:
        tasks.append((f"role {bulk.role}", _role(aws, bulk)))
    return tasks


def _policy(aws: Aws, named: Sequence[str]) -> list[Command]:
    listed = aws.ask(aws.command("iot", "list-policy-versions", *named))
    versions = [
        aws.command(
            "iot", "delete-policy-version", *named, "--policy-version-id", str(entry["versionId"])
        )
        for entry in entries(listed, "policyVersions")
        if not entry.get("isDefaultVersion")
    ]
    return [*versions, aws.command("iot", "delete-policy", *named)]


def _is_ours(aws: Aws, bulk: BulkNames, thing_type: str) -> bool:
    arn = bulk.account.iot(f"thingtype/{thing_type}")
    told: list[Answer | None] = aws.ask_all(
        [aws.command("iot", "list-tags-for-resource", "--resource-arn", arn)]
    )
    return teardown.is_ours(told[0], bulk.names)


def _bucket(aws: Aws, bulk: BulkNames) -> list[Command]:
    named = ("--bucket", bulk.bucket)
    listed = aws.ask_all([aws.command("s3api", "list-objects-v2", *named)])[0]
    objects = [
        aws.command("s3api", "delete-object", *named, "--key", str(entry["Key"]))
        for entry in entries(listed, "Contents")
    ]
    return [*objects, aws.command("s3api", "delete-bucket", *named)]


def _role(aws: Aws, bulk: BulkNames) -> list[Command]:
    named = ("--role-name", bulk.role)
    policy = ("--policy-name", bulkcloud.INLINE)
    managed = ("--policy-arn", bulk.account.registration_policy)
    return [
        aws.command("iam", "delete-role-policy", *named, *policy),
        aws.command("iam", "detach-role-policy", *named, *managed),
        aws.command("iam", "delete-role", *named),
    ]


def _outcome(context: Context, things: int, left: list[str], *, empty: bool) -> Outcome:
    end = f"{things} things and what was made for them are gone"
    if left:
        end = "not everything could be deleted; run it again to go on"
    elif empty:
        end = "nothing to do: nothing of a bulk registration is there"
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "dry_run": context.shell.dry_run,
            "things": things,
            "left": left,
        },
        lines=[*(f"left: {name}" for name in left), end],
        status=Exit.FAILED if left else Exit.DONE,
    )
