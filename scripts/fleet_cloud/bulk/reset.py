"""Removes a bulk registration: its things and certificates, what was created for them, then the local files."""

from collections.abc import Sequence
from pathlib import Path

from fleet_cloud import confirm
from fleet_cloud.aws.calls import Aws, entries, strings, text
from fleet_cloud.aws.names import BulkNames
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.bulk import cloud, layout
from fleet_cloud.bulk.layout import BulkFolder, Record
from fleet_cloud.errors import Exit
from fleet_cloud.fleet import deletion, inventory
from fleet_cloud.fleet.inventory import ACTIVE, Certificate
from fleet_cloud.local.shell import Command
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import teardown
from fleet_cloud.plan.teardown import Existing, Piece

Task = tuple[str, Sequence[Command]]

# AWS deletes a thing type five minutes after it was deprecated, and a policy up to five after it was detached.
_PATIENCE_SECONDS = 330.0


def run(context: Context, path: Path, *, yes: bool) -> Outcome:
    """Asks for confirmation, then deletes what bulk made."""
    aws, folder = context.aws(), BulkFolder(path)
    bulk = BulkNames(context.names, aws.account())
    record = folder.read()
    layout.check_place(record, bulk, path)
    certificates = _certificates(aws, bulk)
    bare = _bare_things(aws, bulk, {name for names in certificates.values() for name in names})
    things = sum(len(names) for names in certificates.values()) + len(bare)
    there = teardown.existing(aws, context.names, _pieces(aws, bulk, record))
    for piece in there.others:
        context.console.say(
            f"  {piece.kind} {piece.name} does not have the fleet's tags, so it is kept"
        )
    if certificates or bare or there.ours:
        confirm.confirm(
            context,
            f"Delete {things} things, {len(certificates)} certificates and what was created for them permanently?",
            yes=yes,
        )
    tasks = [_certificate_task(aws, arn, names) for arn, names in certificates.items()]
    tasks += [(f"thing {name}", [_delete_thing(aws, name)]) for name in bare]
    left = _delete(aws, bulk, tasks, there)
    if record and not left and not context.shell.dry_run:
        folder.clear(record)
    return _outcome(context, things, left, empty=not tasks and not there.ours)


def _certificates(aws: Aws, bulk: BulkNames) -> dict[str, list[str]]:
    """Looks up which certificates have the policy, and which things they belong to."""
    (attached,) = aws.ask_all([inventory.targets(aws, bulk.policy)])
    arns = strings(attached, "targets")
    answers = aws.ask_all(
        [aws.command("iot", "list-principal-things", "--principal", arn) for arn in arns],
        "looking up the thing of each certificate",
    )
    return {arn: strings(answer, "things") for arn, answer in zip(arns, answers, strict=True)}


def _bare_things(aws: Aws, bulk: BulkNames, held: set[str]) -> list[str]:
    """Asks for things that an interrupted reset took the certificate from: their attribute shows whose they are."""
    attribute = ("--attribute-name", cloud.ATTRIBUTE, "--attribute-value", bulk.names.fleet)
    listed = aws.ask(aws.command("iot", "list-things", *attribute))
    names = [text(entry, "thingName") for entry in entries(listed, "things")]
    return [name for name in names if name not in held]


def _pieces(aws: Aws, bulk: BulkNames, record: Record | None) -> list[Piece]:
    """Returns what ``bulk`` may have made, in the order in which it is deleted: only the record knows the type."""
    account, managed = bulk.account, bulk.account.registration_policy
    return [
        teardown.policy(aws, account, "policy", bulk.policy),
        *([teardown.in_registry(aws, account, "thing-type", record.thing_type)] if record else []),
        cloud.bucket_piece(aws, bulk),
        teardown.role(aws, "role", bulk.role, managed=managed, inline=cloud.INLINE),
    ]


def _delete(aws: Aws, bulk: BulkNames, tasks: Sequence[Task], there: Existing) -> list[str]:
    """Deletes in AWS's order; returns what could not be deleted."""
    first = [(f"{piece.kind} {piece.name}", piece.first) for piece in there.ours if piece.first]
    left = run_all(aws, first, "")
    left |= run_all(aws, tasks, "deleting things and their certificates")
    if not left:
        for piece in there.ours:
            name, commands = teardown.deletion(aws, piece)
            if piece.kind == "bucket":
                commands = [*_objects(aws, bulk), *commands]
            left |= run_all(aws, [(name, commands)], "", _PATIENCE_SECONDS)
    return sorted(left)


def _certificate_task(aws: Aws, arn: str, things: Sequence[str]) -> Task:
    certificate = Certificate(arn=arn, status=ACTIVE, created=None)
    *before, delete = deletion.certificate_commands(aws, certificate, things)
    return certificate.identifier, [
        *before,
        *(_delete_thing(aws, thing) for thing in things),
        delete,
    ]


def _delete_thing(aws: Aws, name: str) -> Command:
    return aws.command("iot", "delete-thing", "--thing-name", name)


def _objects(aws: Aws, bulk: BulkNames) -> list[Command]:
    named = ("--bucket", bulk.bucket)
    (listed,) = aws.ask_all([aws.command("s3api", "list-objects-v2", *named)])
    return [
        aws.command("s3api", "delete-object", *named, "--key", str(entry["Key"]))
        for entry in entries(listed, "Contents")
    ]


def _outcome(context: Context, things: int, left: list[str], *, empty: bool) -> Outcome:
    end = f"{things} things and what was created for them are deleted"
    if left:
        end = "not everything could be deleted; run it again to continue"
    elif empty:
        end = "nothing to do: there is no bulk registration"
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
