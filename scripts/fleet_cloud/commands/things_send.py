"""``fleet-cloud things send``: publishes as each of the trial things."""

import argparse
import re
import time
from pathlib import Path

from fleet_cloud.aws import names
from fleet_cloud.aws.calls import Aws
from fleet_cloud.aws.names import Account
from fleet_cloud.commands import things_create
from fleet_cloud.errors import Exit, FleetCloudError, UsageError
from fleet_cloud.fleet import connection
from fleet_cloud.fleet.connection import Connection, Identity, RefusedError, Server
from fleet_cloud.fleet.trust import check_trust
from fleet_cloud.local import quoting
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import resources
from fleet_cloud.plan.reconcile import ensure
from fleet_cloud.practice import trials
from fleet_cloud.practice.trials import Record, TrialFolder

NAME = ("things", "send")
SUMMARY = "publish as each of these things"
DESCRIPTION = """\
Connects as each thing of the record and publishes a message once a second, to elf/THING or to a given topic. Each thing
gets a policy, policy-THING, that allows that topic only; another topic changes it.

The first three test the connection: if none of them gets an answer, the others are not tried.

It connects as a device, which needs awscrt: the project's environment is taken when it is there (. scripts/environment
makes it).
"""

_TOPIC = re.compile(r"[^+#*?$\x00-\x1f][^+#*?\x00-\x1f]{0,255}")
_LONGEST_SECONDS = 86_400
_EVERY_SECONDS = 1.0
# The number of things that test the connection before all of them try it.
_FIRST = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the message, the topic and the duration."""
    parser.add_argument(
        "message",
        metavar="MESSAGE",
        nargs="?",
        default="IoT ELF Hello",
        help="the message (default: IoT ELF Hello)",
    )
    parser.add_argument(
        "--topic", metavar="TOPIC", help="topic to publish to (default: elf/THING)"
    )
    parser.add_argument(
        "--duration",
        metavar="SECONDS",
        type=float,
        default=10.0,
        help="for how long (default: 10)",
    )
    parser.add_argument(
        "--ca-file", metavar="FILE", type=Path, help="the CA of an endpoint that is not Amazon's"
    )
    things_create.add_folder(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Allows the topic, and publishes."""
    _check(arguments)
    connection.check_ca_file(arguments.ca_file)
    connection.need_environment()
    aws, folder = context.aws(), TrialFolder(arguments.out)
    account = aws.account()
    record = folder.of_account(account)
    if not record.things:
        raise FleetCloudError(
            f"no things are recorded in {folder.path}",
            remedy=f"create some: fleet-cloud things create --out {quoting.word(folder.path)}",
            code="record-missing",
        )
    endpoint = connection.endpoint_of(aws.ask(connection.ask_endpoint(aws)))
    server = Server(endpoint=endpoint, ca_file=arguments.ca_file)
    if not context.shell.dry_run:
        check_trust(server)
    _allow(context, aws, account, record, arguments.topic)
    if context.shell.dry_run:
        return Outcome(data={"dry_run": True, "sent": {}, "failed": {}}, lines=[])
    things = [*record.things]

    def send(thing: str) -> tuple[int, RefusedError | None]:
        return _send(server, folder.identity(thing), thing, arguments)

    def knock(thing: str) -> RefusedError | None:
        return connection.knock(server, folder.identity(thing), thing)

    first = things[:_FIRST]
    connection.check_reachable(server, context.console.spread(knock, first, "", _FIRST))
    results = context.console.spread(send, things, "", len(things))
    sent_by = dict(zip(record.things, results, strict=True))
    failed = {thing: str(why) for thing, (_, why) in sent_by.items() if why}
    return Outcome(
        data={
            "dry_run": False,
            "sent": {thing: count for thing, (count, _) in sent_by.items()},
            "failed": failed,
        },
        lines=[
            *(f"{thing}: {count} messages" for thing, (count, _) in sent_by.items()),
            *(f"{thing}: {why}" for thing, why in failed.items()),
        ],
        status=Exit.FAILED if failed else Exit.DONE,
    )


def _check(arguments: argparse.Namespace) -> None:
    if arguments.topic is not None and not _TOPIC.fullmatch(arguments.topic):
        raise UsageError(
            f"nothing can be published to --topic {arguments.topic!r}",
            remedy="use 1 to 256 characters without + # * ? and not beginning with $",
        )
    if not 0 < arguments.duration <= _LONGEST_SECONDS:
        raise UsageError(
            f"--duration {arguments.duration}", remedy=f"pass seconds, up to {_LONGEST_SECONDS}"
        )


def _allow(
    context: Context, aws: Aws, account: Account, record: Record, topic: str | None
) -> None:
    """Makes each thing's policy, or changes it, and attaches it."""
    policies = [
        resources.policy(
            aws,
            context.names,
            "policy",
            names.trial_policy(thing),
            trials.policy(account, thing, topic or trials.topic_of(thing)),
        )
        for thing in record.things
    ]
    answers = aws.ask_all([policy.read for policy in policies])
    for policy, answer, arn in zip(policies, answers, record.things.values(), strict=True):
        ensure(aws, policy, answer)
        aws.change(
            aws.command("iot", "attach-policy", "--policy-name", policy.name, "--target", arn)
        )


def _send(
    server: Server, identity: Identity, thing: str, arguments: argparse.Namespace
) -> tuple[int, RefusedError | None]:
    """Publishes until the time is over; returns how many, and what went wrong."""
    topic, sent = arguments.topic or trials.topic_of(thing), 0
    end = time.monotonic() + arguments.duration
    try:
        with Connection(server, identity, thing) as session:
            while True:
                session.publish(topic, {"message": arguments.message, "thing": thing})
                sent += 1
                left = end - time.monotonic()
                if left <= 0:
                    return sent, None
                time.sleep(min(_EVERY_SECONDS, left))
    except RefusedError as error:
        return sent, error
