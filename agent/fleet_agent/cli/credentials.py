"""``fleet-agent credentials``: AWS credentials for a program, as `credential_process` of every AWS SDK reads them."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from fleet_agent import files
from fleet_agent.cli import agent_socket, flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.errors import DeviceError, UnreachableError, UsageError
from fleet_agent.statedir.owner import become_owner
from fleet_agent.vending import packet

LIMIT = 60.0  # seconds

_ENDED = "agent-ended"


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "credentials",
        parents=[common],
        help="get AWS credentials for a program",
        description="Prints AWS credentials as the `credential_process` of AWS SDKs and CLI expects them. Asks the "
        "running agent, which caches them in memory; if none is running, root and the agent's own user ask AWS IoT "
        "directly. Requires `credentials` in the configuration.",
        epilog="Exit status: 0 done, 2 usage, 69 no agent or AWS not reachable, 73 the token file cannot be written, "
        "75 refused for now, 77 refused by AWS or by the agent's allow-list, 78 wrong on the device.",
    )
    parser.add_argument(
        "--role-alias",
        metavar="NAME",
        default="",
        type=str,
        help="role alias (default: the only one that this user may have)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="instead, write this user's token for AWS_CONTAINER_CREDENTIALS_FULL_URI to FILE (mode 0600), and "
        "print the URL",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=flags.seconds,
        default=LIMIT,
        help="give up after this long; 0: never (default 60)",
    )
    agent_socket.add_flags(parser)
    flags.add_owner(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    if arguments.token_file is not None:
        return _token(arguments, Path(arguments.token_file))
    return Outcome(text=json.dumps(obtain(arguments)))


def obtain(arguments: argparse.Namespace) -> Mapping[str, object]:
    """AWS credentials for ``arguments.role_alias``, from the running agent, or from AWS IoT where none runs.

    Raises:
        AgentError: There are none; says why.
    """
    try:
        answer = _ask(arguments, {"role_alias": arguments.role_alias})
    except UnreachableError as error:
        if error.code != agent_socket.NOT_RUNNING:
            raise
        return _ask_aws(arguments, error)
    return cast("Mapping[str, object]", answer["credentials"])


def _token(arguments: argparse.Namespace, path: Path) -> Outcome:
    answer = _ask(arguments, {"role_alias": arguments.role_alias, "token": True})
    # botocore takes the whole file for the header's value: a line end in it is an error.
    flags.write_file("--token-file", path, str(answer["token"]).encode(), 0o600)
    return Outcome(
        data={"url": answer["url"], "token_file": str(path.absolute())},
        lines=[
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI={answer['url']}",
            f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={path.absolute()}",
        ],
    )


def _ask(arguments: argparse.Namespace, request: dict[str, object]) -> dict[str, object]:
    """Asks the running agent; once more if it re-executed itself meanwhile."""
    path = agent_socket.path_of(arguments, packet.NAME)
    timeout = getattr(arguments, "timeout", LIMIT) or None
    data = json.dumps(request).encode()
    try:
        return _exchange(path, data, timeout)
    except UnreachableError as error:
        if error.code != _ENDED:
            raise
    return _exchange(path, data, timeout)


def _exchange(path: Path, data: bytes, timeout: float | None) -> dict[str, object]:
    with agent_socket.connect(
        path,
        timeout,
        missing="a section `credentials`",
        denied="Add this user to the group that credentials.group names, or remove that setting.",
    ) as client:
        try:
            client.send(data)
            answer = client.recv(packet.MAX_ANSWER)
        except TimeoutError:
            raise UnreachableError(
                "The agent did not answer in time.",
                remedy="See fleet-agent status, or raise --timeout.",
                code="timeout",
            ) from None
        except OSError:
            answer = b""
    if not answer:
        raise UnreachableError(
            "The agent ended before it answered.",
            remedy="systemctl status fleet-agent",
            code=_ENDED,
        )
    return packet.read(answer)


def _ask_aws(arguments: argparse.Namespace, unreachable: UnreachableError) -> dict[str, object]:
    """Asks AWS IoT directly, if this user may read the device's identity.

    Raises:
        AgentError: The user may not, or AWS gives none.
    """
    try:
        settings = flags.settings(arguments)
    except (DeviceError, UsageError):
        if arguments.config:
            raise
        raise unreachable from None
    state_dir = Path(settings.state_dir)
    if os.geteuid() not in (0, files.owner(state_dir)):
        raise unreachable
    # The doctor has become the owner before.
    become_owner(state_dir, any_owner=getattr(arguments, "as_owner", True))
    # Here, since a program that asks the agent starts faster without them.
    from fleet_agent.identity.configured import in_service, open_store
    from fleet_agent.vending import one_shot

    credential, pair = in_service(open_store(settings))
    alias = _only(settings, arguments.role_alias)
    limit = getattr(arguments, "timeout", LIMIT) or 1e9
    found = one_shot.fetch(settings, credential, pair, alias, SystemClock(), limit)
    return found.for_process()


def _only(settings: Settings, wanted: str) -> str:
    """Returns the wanted role alias, or the only one."""
    from fleet_agent.vending.allow_list import AllowList

    if settings.credentials is None:
        raise DeviceError(
            "The configuration has no section `credentials`.",
            remedy="fleet-cloud config --credentials-user USER writes one; see docs/how-to/aws-credentials.md",
            code="credentials-unconfigured",
        )
    return AllowList(settings.credentials.aliases).alias(os.geteuid(), wanted)
