"""Every call to AWS goes through here: made by botocore in this process, or by the AWS CLI, version 1 or 2.

Region and endpoint are always passed to ``aws`` explicitly. Left to the environment, version 1 does not read
AWS_REGION, and older versions 2 (Debian 12's is one) do not read AWS_ENDPOINT_URL: the same command would go to
different places.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from fleet_cloud.aws import causes, in_process
from fleet_cloud.aws.call import Call, Where, parameters
from fleet_cloud.aws.in_process import InProcess
from fleet_cloud.aws.names import REGION, Account
from fleet_cloud.errors import COMMAND_FAILED, CommandError, FleetCloudError, UsageError
from fleet_cloud.local.json_text import parsed
from fleet_cloud.local.shell import Command, Shell, Variable, Word

Answer = Mapping[str, object]

AWS, BOTOCORE = "aws", "botocore"
# Calls by the program at a time; each process takes a third of a second of CPU.
_PROCESSES = 4

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

# A new role reaches AWS IoT within seconds; a minute is AWS's worst case, with a margin.
PATIENCE_SECONDS = 90.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The flags that apply to every call; ``role_boundary`` to those that create a role.

    ``backend`` is ``botocore`` or ``aws``.
    """

    profile: str | None
    region: str | None
    endpoint_url: str | None
    role_boundary: str | None = None
    backend: str = AWS


class Aws:
    """Makes calls.

    Args:
        shell: Runs or prints them.
        options: Passed on.
        sleep: Waits between tries.
    """

    def __init__(
        self, shell: Shell, options: Options, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._in_process = InProcess() if options.backend == BOTOCORE else None
        if self._in_process:
            shell.take_over("aws", self._in_process.run)
        else:
            shell.need("aws")
        self.shell = shell
        self.role_boundary = options.role_boundary
        self._options = options
        self._sleep = sleep
        self.region = self._find_region()

    def command(
        self, service: str, operation: str, *flags: Word, into: Variable | None = None
    ) -> Call:
        """Returns a call to this region and endpoint; without ``into`` it answers in JSON."""
        return Call(
            service=service,
            operation=operation,
            parameters=parameters(flags),
            where=self._where(service),
            into=into,
        )

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint that answers for AWS IoT instead of AWS, if one is set."""
        return self._where("iot").endpoint_url

    def toward(self, call: Call, host: str) -> Call:
        """Returns a call that goes to a host of the account's own, unless another place answers all of them."""
        if call.where.endpoint_url:
            return call
        where = dataclasses.replace(call.where, endpoint_url=f"https://{host}")
        return dataclasses.replace(call, where=where)

    def account(self) -> Account:
        """Looks up which account these credentials belong to."""
        command = self.command("sts", "get-caller-identity")
        return Account.of_caller(text(self.ask(command), "Arn"), self.region)

    def ask(self, command: Command) -> Answer:
        """Runs a command that only reads, even in a dry run.

        Raises:
            CommandError: It failed; says AWS's words and the likely cause.
        """
        self.shell.show(command)
        return parse(self._explained(self.shell.run, command), command)

    def ask_all(self, commands: Sequence[Command], doing: str = "") -> list[Answer | None]:
        """Runs commands that only read, in parallel; None for what does not exist.

        Args:
            commands: These.
            doing: What that is, for people, shown as progress when there are many.
        """
        for command in commands:
            self.shell.show(command)
        return self.spread(self._ask_or_nothing, commands, doing)

    def spread(
        self, run: Callable[[_Task], _Result], tasks: Sequence[_Task], doing: str
    ) -> list[_Result]:
        """Runs a task that makes calls for each of these, as many at a time as the backend can."""
        at_once = in_process.AT_ONCE if self._in_process else _PROCESSES
        return self.shell.console.spread(run, tasks, doing, at_once)

    def change(self, command: Command, patience: float = PATIENCE_SECONDS) -> str:
        """Runs a command that changes something, or prints it in a dry run; returns what it printed.

        Waits out what AWS needs time for: a new role that is not everywhere, a policy that still counts as attached.

        Raises:
            CommandError: It failed; says AWS's words and the likely cause.
        """
        waited, pause = 0.0, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._explained(self.shell.change, command)
            except CommandError as error:
                if waited >= patience or not causes.NOT_YET.search(error.said):
                    raise
            self.shell.console.say(
                f"  AWS is not ready for {' '.join(map(str, command.words[1:3]))} yet, "
                f"trying again for {patience - waited:.0f} s"
            )
            self._sleep(pause)
            waited, pause = waited + pause, min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _ask_or_nothing(self, command: Command) -> Answer | None:
        try:
            return parse(self._explained(self.shell.run, command), command)
        except CommandError as error:
            if error.code in causes.ABSENT_CODES:
                return None
            raise

    def _explained(self, run: Callable[[Command], str], command: Command) -> str:
        try:
            return run(command)
        except CommandError as error:
            if error.code != COMMAND_FAILED:
                raise
            known = causes.explain(error.said, str(command.words[1]))
            raise CommandError(
                error.title,
                remedy=known.remedy,
                code=known.code,
                command=error.command,
                said=error.said,
                cause=known.cause,
            ) from error

    def _where(self, service: str) -> Where:
        endpoint = (
            self._options.endpoint_url
            or os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}")
            or os.environ.get("AWS_ENDPOINT_URL")
        )
        return Where(
            region=self.region, profile=self._options.profile, endpoint_url=endpoint or None
        )

    def _find_region(self) -> str:
        """Returns the region as the flag, the environment or the AWS configuration says."""
        region = (
            self._options.region
            or os.environ.get("AWS_REGION")
            or os.environ.get("AWS_DEFAULT_REGION")
            or self._configured_region()
        )
        if not region:
            raise FleetCloudError(
                "no AWS region is set",
                remedy="add --region, such as --region eu-west-1, or type: aws configure",
                code="no-region",
            )
        if not REGION.fullmatch(region):
            raise UsageError(
                f"{region!r} is not an AWS region",
                remedy="a region looks like eu-west-1: add --region",
            )
        return region

    def _configured_region(self) -> str | None:
        if self._in_process:
            return self._in_process.region(self._options.profile)
        profile = ("--profile", self._options.profile) if self._options.profile else ()
        try:
            return self.shell.run(
                Command(words=("aws", "configure", "get", "region", *profile))
            ).strip()
        except CommandError:
            return None  # that is how the CLI says "not set"; a bad profile shows at the next call


def text(answer: object, *path: str) -> str:
    """Returns a string from an answer.

    Raises:
        FleetCloudError: It does not exist: what answers is not AWS, or has changed.
    """
    found = answer
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return found
    raise FleetCloudError(
        f"the answer of AWS has no {'.'.join(path)}",
        remedy="check --endpoint-url; --verbose shows the command to try by hand",
        code="answer-unknown",
    )


def entries(answer: Answer | None, key: str) -> list[Mapping[str, object]]:
    """Returns a list of objects from an answer; empty when there is none."""
    found = answer.get(key) if answer else None
    return (
        [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
    )


def strings(answer: Answer | None, key: str) -> list[str]:
    """Returns a list of strings from an answer; empty when there is none."""
    found = answer.get(key) if answer else None
    return [entry for entry in found if isinstance(entry, str)] if isinstance(found, list) else []


def parse(printed: str, command: Command) -> Answer:
    """Reads what a command printed.

    Raises:
        CommandError: It is not a JSON object; it is not shown, since it may hold a key.
    """
    try:
        answer = parsed(printed)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    raise CommandError(
        "the answer of aws is not a JSON object",
        remedy="check --endpoint-url, and run the command by hand",
        code="answer-unknown",
        command=str(command),
        said=f"{len(printed)} characters on stdout",
    )
