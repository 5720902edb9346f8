"""``fleet-agent publish``: hand a reading to the agent that runs on this device."""

import argparse
import base64
import errno
import json
import os
import select
import socket
import sys
from typing import Any

from fleet_agent import pasted
from fleet_agent.cli import agent_socket, flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.config.units import parse_duration
from fleet_agent.errors import (
    AgentError,
    RefusedError,
    TemporaryError,
    UnreachableError,
    UsageError,
)
from fleet_agent.telemetry.reading import MAX_PAYLOAD
from fleet_agent.telemetry.sources import packet

_STDIN = "-"

# What the socket refuses → our exit status; anything else is wrong with what was typed.
_ERRORS: dict[str, type[AgentError]] = {
    packet.NOT_ALLOWED: RefusedError,
    packet.NEVER_SENT: RefusedError,
    packet.NOT_STORED: TemporaryError,
    packet.BUSY: TemporaryError,
}


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "publish",
        parents=[common],
        help="publish a reading through the running agent",
        description="Returns once the reading is durable, with --wait once AWS has acknowledged it. Requires a "
        "`socket` under telemetry.sources. Valid JSON is sent as JSON, other text as text.",
        epilog="Exit status: 0 success, 2 usage error, 69 no agent is running, or timed out, 75 not stored, 77 not "
        "allowed, or can never be sent.",
    )
    parser.add_argument(
        "topic", metavar="TOPIC", nargs="?", help="topic (default: that of the socket source)"
    )
    parser.add_argument(
        "payload",
        metavar="PAYLOAD",
        nargs="?",
        type=str,
        help=f"the reading, or {_STDIN} to read it from stdin",
    )
    parser.add_argument("--file", metavar="FILE", help="read the payload from a file")
    parser.add_argument("--wait", action="store_true", help="wait until AWS has acknowledged it")
    parser.add_argument(
        "--qos",
        type=int,
        choices=(0, 1),
        default=1,
        help="quality of service (default 1)",
    )
    parser.add_argument(
        "--expires",
        metavar="DURATION",
        type=_duration,
        help="drop the reading if it is not sent within this time, such as 1h",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=flags.seconds,
        default=60.0,
        help="give up after this long; 0: never (default 60)",
    )
    agent_socket.add_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    topic, payload = _reading(arguments)
    request = {
        **({"topic": topic} if topic else {}),
        **_encoded(payload),
        **({"qos": 0} if arguments.qos == 0 else {}),
        **({"expires": arguments.expires} if arguments.expires else {}),
        **({"wait": True} if arguments.wait else {}),
    }
    with agent_socket.connect(
        agent_socket.path_of(arguments, packet.NAME),
        arguments.timeout or None,
        missing="a `socket` under telemetry.sources",
        denied="Set the socket source's `group`, and add the user to it.",
    ) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, packet.MAX_PACKET)
        _send(client, _packet(request))
        _await_answer(
            client, "ok", "The agent did not answer in time; the reading may or may not be stored."
        )
        if arguments.wait:
            _await_answer(
                client,
                "acknowledged",
                "The reading is stored, but AWS did not acknowledge it in time; the agent keeps trying.",
            )
    return Outcome(data={"stored": True, "acknowledged": True if arguments.wait else None})


def _packet(request: dict[str, object]) -> bytes:
    try:
        return json.dumps(request, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        part = f"\\u{ord(error.object[error.start]):04x}"
        raise _usage(
            f"The topic or the payload has half a surrogate pair ({part}), which is not a character.",
            "Was the text cut in two, or typed in an encoding other than the console's? Send whole characters, in "
            "UTF-8.",
        ) from None


def _reading(arguments: argparse.Namespace) -> tuple[str | None, bytes]:
    topic: str | None = arguments.topic
    payload: str | None = arguments.payload
    if arguments.file is not None:
        if payload is not None:
            raise _usage("There are both a PAYLOAD and --file.", "Pass only one of them.")
        return topic, _read(arguments.file, arguments.timeout or None)
    if payload is None:
        payload = topic  # one word alone is the payload, if it can be one
        topic = None
        if payload is None:
            raise _usage("There is no payload.", "fleet-agent publish TOPIC PAYLOAD (- for stdin)")
        if payload != _STDIN and not _is_json(payload):
            raise _usage(
                f"{payload!r} alone could be a topic or the payload.",
                f"{pasted.command('fleet-agent', 'publish', payload)} PAYLOAD, - to read it from stdin; or pipe a "
                "text into: fleet-agent publish -",
            )
    return topic, _read_stdin() if payload == _STDIN else os.fsencode(payload)


def _encoded(payload: bytes) -> dict[str, object]:
    """The members of the packet that carry the payload."""
    if len(payload) > MAX_PAYLOAD:
        raise _usage(
            f"The payload has more than {MAX_PAYLOAD} bytes, the limit of AWS IoT.",
            "Send less at a time.",
        )
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"payload": base64.b64encode(payload).decode(), "encoding": "base64"}
    try:
        return {"payload": json.loads(text, parse_constant=_no_json)}
    except (ValueError, RecursionError):
        return {"payload": text.removesuffix("\n"), "encoding": "text"}


def _is_json(text: str) -> bool:
    return "encoding" not in _encoded(os.fsencode(text))


def _no_json(word: str) -> None:
    raise ValueError(word)


def _read(name: str, seconds: float | None) -> bytes:
    """Reads a file, or a pipe, each piece of which is waited for."""
    found = b""
    try:
        # Not to wait here for whoever writes into a pipe.
        with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:  # noqa: PTH123
            while len(found) <= MAX_PAYLOAD:
                if not select.select([file], [], [], seconds)[0]:
                    raise _timed_out(
                        f"Nobody writes into {name}.", "Start what does, or raise --timeout."
                    )
                if not (piece := file.read(MAX_PAYLOAD)):
                    break
                found += piece
    except OSError as error:
        raise _usage(f"Cannot read {name}: {error.strerror}.", "Check the path.") from error
    return found


def _read_stdin() -> bytes:
    try:
        return sys.stdin.buffer.read(MAX_PAYLOAD + 1)
    except OSError as error:
        raise _usage(
            f"Cannot read stdin: {error.strerror}.", "Pipe the payload into it, or pass --file."
        ) from error


def _send(client: socket.socket, data: bytes) -> None:
    try:
        client.send(data)
    except TimeoutError:
        raise _timed_out("The agent did not accept the reading in time.") from None
    except OSError as error:
        if error.errno == errno.EMSGSIZE:
            raise _usage(
                "The reading is too large for a packet.", "Send less at a time."
            ) from error
        raise _connection_lost() from error


def _await_answer(client: socket.socket, member: str, late: str) -> None:
    """Waits for the next answer and raises the error in it.

    Raises:
        AgentError: The reading was refused, or nothing came in time.
    """
    try:
        data = client.recv(packet.MAX_PACKET)
    except TimeoutError:
        raise _timed_out(late) from None
    except OSError as error:
        raise _connection_lost() from error
    if not data:
        raise _connection_lost()
    try:
        answer: dict[str, Any] = json.loads(data)
        if answer.get(member):
            return
        code, title, remedy = (str(answer["error"][name]) for name in ("code", "title", "remedy"))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise UnreachableError(
            "The program that listens there does not answer as the agent does; the reading may or may not be stored.",
            remedy="Check systemctl status fleet-agent, and which program has the socket: ss -xlp",
            code="socket-foreign",
        ) from error
    kind = _ERRORS.get(code, UsageError)
    raise kind(title, remedy=remedy, code=code)


def _connection_lost() -> UnreachableError:
    return UnreachableError(
        "The agent ended before it answered; the reading may or may not be stored.",
        remedy="systemctl status fleet-agent",
        code="agent-ended",
    )


def _timed_out(
    title: str, remedy: str = "See fleet-agent status, or raise --timeout."
) -> UnreachableError:
    return UnreachableError(title, remedy=remedy, code="timeout")


def _usage(title: str, remedy: str) -> UsageError:
    return UsageError(title, remedy=remedy, code="usage")


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
