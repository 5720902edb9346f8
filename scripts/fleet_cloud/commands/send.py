"""``fleet-cloud send``: a direct message to one device."""

import argparse
import secrets
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from fleet_cloud.aws.call import Call
from fleet_cloud.errors import CommandError, Exit, FleetCloudError, UsageError
from fleet_cloud.fleet import listening
from fleet_cloud.fleet.connection import RefusedError
from fleet_cloud.fleet.data_plane import DataPlane, lacking
from fleet_cloud.local import files
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import registry

NAME = ("send",)
SUMMARY = "send a message to one device, without a subscription"
DESCRIPTION = """\
Sends an AWS IoT direct message to the device that is connected as THING. It needs no subscription and reaches no other
client; it is not stored for a device that is offline. PAYLOAD is text, @FILE, or - for standard input.

With --wait it says "delivered" only once the device has acknowledged the message; without, that it was sent. With
--answer it also waits for the device's answer, by default at dt/THING/answers/…, where devices of this fleet may
publish.

The device's policy must allow iot:Receive on the topic: devices of this fleet may receive below cmd/THING/ and
dt/THING/.
"""

_LONGEST = 15  # of AWS's own wait for the acknowledgement
_PAYLOAD_BYTES = 128 * 1024
_SLASHES = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the device, the message, and what to wait for."""
    parser.add_argument("thing", metavar="THING", help="the thing's name, which is its client id")
    parser.add_argument("topic", metavar="TOPIC", help="the topic, such as cmd/THING/light")
    parser.add_argument(
        "payload", metavar="PAYLOAD", type=str, help="text, @FILE or - for standard input"
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait until the device has acknowledged it"
    )
    parser.add_argument("--answer", action="store_true", help="also wait for the device's answer")
    parser.add_argument(
        "--response-topic", metavar="TOPIC", help="topic for the answer (with --answer)"
    )
    parser.add_argument("--content-type", metavar="TYPE", help="such as application/json")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=10,
        help="how long to wait, 1 to 15 for the acknowledgement (default: %(default)s)",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Sends it, and waits."""
    thing: str = arguments.thing
    registry.check("THING", thing)
    check_topic("TOPIC", arguments.topic)
    content = _content(arguments.payload)
    if arguments.response_topic and not arguments.answer:
        raise UsageError("--response-topic without --answer", remedy="add --answer")
    response_topic = arguments.response_topic or f"dt/{thing}/answers/{secrets.token_hex(4)}"
    check_topic("--response-topic", response_topic)
    answer = _sent(context, arguments, content, response_topic)
    is_confirmed = arguments.wait or arguments.answer
    is_missing = arguments.answer and answer is None and not context.shell.dry_run
    return Outcome(
        data={
            "thing": thing,
            "topic": arguments.topic,
            "dry_run": context.shell.dry_run,
            "delivered": True if is_confirmed and not context.shell.dry_run else None,
            **({"response_topic": response_topic, "answer": answer} if arguments.answer else {}),
        },
        lines=[
            f"delivered: {thing} has acknowledged it"
            if is_confirmed
            else "sent; --wait would show whether it arrived",
            *_answer_lines(arguments, answer),
        ],
        status=Exit.FAILED if is_missing else Exit.DONE,
    )


def _sent(
    context: Context, arguments: argparse.Namespace, content: bytes, response_topic: str
) -> object:
    """Sends the message; returns what was answered, if that was requested."""
    aws, shell = context.aws(), context.shell
    with files.temporary_folder() as folder:
        path = (Path() if shell.dry_run else folder) / "payload"
        shell.write_upload(path, content)
        call = _call(DataPlane(aws), arguments, path, response_topic)
        try:
            with (
                _listener(context, call, response_topic)
                if arguments.answer
                else nullcontext() as listener
            ):
                try:
                    aws.change(call, patience=0)
                except CommandError as error:
                    known = lacking(error, call.operation)
                    raise _explained(known, arguments.thing, arguments.topic) from error
                return listener.receive(arguments.timeout) if listener else None
        except RefusedError as error:
            raise FleetCloudError(
                f"the answer cannot be received: {error}",
                remedy="give these credentials iot:Connect on client/fleet-cloud-*, and iot:Subscribe and iot:Receive "
                f"on {response_topic} (fleet-cloud operator-policy send prints it); or remove --answer",
                code="answer-not-heard",
            ) from error


def _listener(
    context: Context, call: Call, response_topic: str
) -> AbstractContextManager[listening.Listener | None]:
    if context.shell.dry_run:
        return nullcontext()
    return listening.Listener(
        call.where, listening.credentials(context.shell, call.where), response_topic
    )


def _call(
    plane: DataPlane, arguments: argparse.Namespace, path: Path, response_topic: str
) -> Call:
    waits = str(min(arguments.timeout, _LONGEST))
    is_confirmed = arguments.wait or arguments.answer
    return plane.call(
        "iot-data",
        "send-direct-message",
        *("--client-id", arguments.thing),
        *("--topic", arguments.topic),
        *("--payload", f"fileb://{path}"),
        *(("--confirmation", "--timeout", waits) if is_confirmed else ()),
        *(("--response-topic", response_topic) if arguments.answer else ()),
        *(("--content-type", arguments.content_type) if arguments.content_type else ()),
    )


def check_topic(name: str, topic: str) -> None:
    """Checks that AWS IoT would accept a topic.

    Raises:
        UsageError: It would not.
    """
    wrong = not topic or set(topic) & {"+", "#", "\0"} or topic.startswith("$")
    if wrong or topic.count("/") > _SLASHES or len(topic.encode()) > 256:  # noqa: PLR2004 - AWS's limit
        raise UsageError(
            f"{name} {topic!r} is not a topic to send to",
            remedy="use at most 7 slashes and 256 bytes, without + and #, and not beginning with $",
        )


def _answer_lines(arguments: argparse.Namespace, answer: object) -> list[str]:
    if not arguments.answer:
        return []
    if answer is None:
        return [f"no answer within {arguments.timeout} s: does a handler of the device answer it?"]
    return [f"answer: {answer}"]


def _content(given: str) -> bytes:
    if given == "-":
        content = sys.stdin.buffer.read(_PAYLOAD_BYTES + 1)
    elif given.startswith("@"):
        path = Path(given[1:])
        try:
            with files.opened(path) as file:
                content = file.read(_PAYLOAD_BYTES + 1)
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror}", remedy="check the file's name"
            ) from error
    else:
        content = given.encode()
    if len(content) > _PAYLOAD_BYTES:
        raise UsageError("the payload has more than 128 KB", remedy="send less")
    return content


def _explained(error: FleetCloudError, thing: str, topic: str) -> FleetCloudError:
    """Returns what went wrong in words of this command."""
    said = error.said if isinstance(error, CommandError) else ""
    words = {
        "ResourceNotFoundException": (
            "device-not-connected",
            f"{thing} is not connected: the message was not delivered, and is not stored for it",
            f"type: fleet-cloud devices show {thing}   to see since when and why",
        ),
        "GatewayTimeoutException": (
            "not-acknowledged",
            f"{thing} is connected, but did not acknowledge the message in time; it may have received it anyway",
            f"type: fleet-cloud explain {thing}   or allow more time with --timeout",
        ),
        "ThrottlingException": (
            "device-busy",
            f"{thing} accepts no more messages at the moment, or the account sends too many at once",
            "wait some seconds and send it again",
        ),
        "RequestEntityTooLargeException": ("too-large", "the payload is too large", "send less"),
    }
    if error.code == "ForbiddenException":
        if thing in said:  # AWS names the receiver where it is the one that may not
            return FleetCloudError(
                f"{thing} may not receive on {topic}",
                remedy="let its policy allow iot:Receive there, or use a topic below "
                f"cmd/{thing}/, where devices of a fleet may",
                code="device-may-not-receive",
            )
        return FleetCloudError(
            "these credentials may not send direct messages",
            remedy="have iot:SendDirectMessage on client/* added to their IAM policy: fleet-cloud operator-policy send",
            code="send-not-allowed",
        )
    if error.code in words:
        code, title, remedy = words[error.code]
        return FleetCloudError(title, remedy=remedy, code=code)
    return error


def _seconds(given: str) -> int:
    if not given.isdecimal() or not 1 <= int(given) <= 3600:  # noqa: PLR2004 - an hour
        raise argparse.ArgumentTypeError(f"{given!r} is not a number of seconds from 1 to 3600")
    return int(given)
