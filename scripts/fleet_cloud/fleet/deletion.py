"""Takes certificates and things away, in the order that AWS demands.

A certificate goes off its things, is switched off, and is deleted: AWS refuses to delete one that is active or that a
thing has. Detaching takes AWS some seconds, so what it refuses for that reason is tried again.
"""

from collections.abc import Sequence

from fleet_cloud.aws.calls import PATIENCE_SECONDS, Aws
from fleet_cloud.errors import CommandError
from fleet_cloud.fleet.inventory import ACTIVE, Certificate, Thing
from fleet_cloud.local.shell import Command


def switch_off(aws: Aws, certificate: Certificate) -> Command:
    """Returns the command that lets nobody connect with a certificate any more."""
    return aws.command(
        "iot",
        "update-certificate",
        *("--certificate-id", certificate.identifier),
        *("--new-status", "INACTIVE"),
    )


def certificate_commands(
    aws: Aws, certificate: Certificate, things: Sequence[str] = ()
) -> list[Command]:
    """Returns the commands that delete a certificate that these things have."""
    return [
        *([switch_off(aws, certificate)] if certificate.status == ACTIVE else []),
        *(
            aws.command(
                "iot",
                "detach-thing-principal",
                *("--thing-name", name),
                *("--principal", certificate.arn),
            )
            for name in things
        ),
        # It waives the policies, which are thereby detached; it does not waive things and the state.
        aws.command(
            "iot",
            "delete-certificate",
            *("--certificate-id", certificate.identifier),
            "--force-delete",
        ),
    ]


def thing_commands(aws: Aws, thing: Thing) -> list[Command]:
    """Returns the commands that delete a thing with its certificates."""
    commands = [
        certificate_commands(aws, certificate, [thing.name]) for certificate in thing.certificates
    ]
    # The certificates last: after an interruption they are what shows whose the rest is.
    return [
        *(command for those in commands for command in those[:-1]),
        aws.command("iot", "delete-thing", "--thing-name", thing.name),
        *(those[-1] for those in commands),
    ]


def run_all(
    aws: Aws,
    tasks: Sequence[tuple[str, Sequence[Command]]],
    doing: str,
    patience: float = PATIENCE_SECONDS,
) -> dict[str, CommandError]:
    """Runs the commands of each task in their order, several tasks at a time; what fails is returned by name.

    What is gone already, by an earlier run or another hand, is no failure.
    """

    def run(task: tuple[str, Sequence[Command]]) -> tuple[str, CommandError | None]:
        name, commands = task
        try:
            for command in commands:
                _change(aws, command, patience)
        except CommandError as error:
            return name, error
        return name, None

    # A dry run's script has its lines in order.
    results = [run(task) for task in tasks] if aws.shell.dry_run else aws.spread(run, tasks, doing)
    return {name: error for name, error in results if error}


def _change(aws: Aws, command: Command, patience: float) -> None:
    try:
        aws.change(command, patience)
    except CommandError as error:
        if error.code not in {"ResourceNotFoundException", "NoSuchEntity"}:
            raise
