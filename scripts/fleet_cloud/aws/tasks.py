"""Runs commands that change something, several tasks at a time, each task's in order."""

from collections.abc import Sequence

from fleet_cloud.aws.calls import PATIENCE_SECONDS, Aws
from fleet_cloud.errors import CommandError
from fleet_cloud.local.shell import Command


def run_all(
    aws: Aws,
    tasks: Sequence[tuple[str, Sequence[Command]]],
    doing: str,
    patience: float = PATIENCE_SECONDS,
) -> dict[str, CommandError]:
    """Runs the commands of each task in their order, several tasks at a time; what fails is returned by name.

    What is already gone, by an earlier run or another hand, is no failure.
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
