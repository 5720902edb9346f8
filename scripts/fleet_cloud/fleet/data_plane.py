"""Calls to the account's own endpoint: direct messages, connections, the start of commands."""

from fleet_cloud.aws.call import Call
from fleet_cloud.aws.calls import Answer, Aws
from fleet_cloud.errors import CommandError, FleetCloudError
from fleet_cloud.fleet import connection
from fleet_cloud.local.shell import Word

# The versions of the AWS CLI that introduced each operation.
_COMMANDS = "from 1.36.8, or 2.22.3, on"
_CONNECTIONS = "1.46.3 has it, 1.45.11 has not"
_SINCE = {
    "create-command": _COMMANDS,
    "get-command": _COMMANDS,
    "start-command-execution": _COMMANDS,
    "get-command-execution": _COMMANDS,
    "list-command-executions": _COMMANDS,
    "send-direct-message": _CONNECTIONS,
    "get-connection": _CONNECTIONS,
    "list-subscriptions": _CONNECTIONS,
}
_OLD = "old-cli"


class DataPlane:
    """The account's endpoint for data.

    Args:
        aws: Makes the calls.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._host: str | None = None

    def call(self, service: str, operation: str, *flags: Word) -> Call:
        """Returns a call to it."""
        made = self._aws.command(service, operation, *flags)
        if made.where.endpoint_url:
            return made
        if self._host is None:
            answer = self._aws.ask(connection.ask_endpoint(self._aws))
            self._host = connection.endpoint_of(answer).host
        return self._aws.toward(made, self._host)

    def ask(self, call: Call) -> Answer:
        """Runs a call that only reads.

        Raises:
            CommandError: It failed.
            FleetCloudError: The CLI here is too old for it.
        """
        try:
            return self._aws.ask(call)
        except CommandError as error:
            raise lacking(error, call.operation) from error


def lacking(error: CommandError, operation: str) -> FleetCloudError:
    """Returns a failure, with the version to get where this CLI or botocore does not know the operation."""
    if error.code != _OLD or operation not in _SINCE:
        return error
    return FleetCloudError(
        f"this AWS CLI, or botocore, does not know {operation}",
        remedy=f"get a newer one (the AWS CLI: {_SINCE[operation]}): python3 -m pip install --upgrade awscli botocore; "
        "aws --version shows yours",
        code="api-missing",
    )
