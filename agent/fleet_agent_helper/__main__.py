"""Answers one connection, which systemd hands over as standard input: ``fleet-agent-helper@.service``."""

import argparse
import contextlib
import json
import os
import pwd
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import NoReturn

from fleet_agent_helper import programs, requests, units
from fleet_agent_helper.orders import Begun, Order, Outcome, boot_id
from fleet_agent_helper.requests import Cancel, RefusedError, Result, Start

HELPERS = Path("/etc/fleet-agent/helpers.d")
STATE = Path("/var/lib/fleet-agent-helper")
USER = "_fleet-agent"
# A client has so long to say what it wants, and to take an answer.
CLIENT_SECONDS = 10
# What is canceled has ended by then: it is killed after five seconds.
_ENDING_SECONDS = 20
_CANCELED = Outcome("canceled", "it was canceled")
Answer = dict[str, object]
_PEER = struct.Struct("3i")  # pid, uid, gid


def main() -> None:
    """Answers the connection on standard input."""
    options = _options()
    # Whoever started the machine's end may ask again when it is up: what was begun is on disk.
    signal.signal(signal.SIGTERM, _end)
    with socket.socket(fileno=os.dup(0)) as client:
        _check(client, options.user)
        client.settimeout(CLIENT_SECONDS)
        try:
            asked = requests.read(_line(client))
            order = Order(options.state, asked.order)
            if isinstance(asked, Result):
                _send(client, _result(order))
            elif isinstance(asked, Cancel):
                _send(client, _canceled(order))
            else:
                _send(client, _carried_out(client, options, order, asked))
        except RefusedError as error:
            _log(f"refused: {error}")
            _send(client, vars(Outcome("refused", str(error))))
        except OSError as error:
            _log(f"failed: {error}")
            _send(client, vars(Outcome("failed", f"the helper itself: {error.strerror}")))
        _part(client)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fleet-agent-helper", description=__doc__)
    parser.add_argument(
        "--helpers", type=Path, default=HELPERS, help="the folder of root's programs"
    )
    parser.add_argument("--state", type=Path, default=STATE, help="the folder of outcomes")
    parser.add_argument("--user", default=USER, help="the user who may ask")
    return parser.parse_args()


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


def _check(client: socket.socket, user: str) -> None:
    """Accepts the agent's user only; others get no answer."""
    _, uid, _ = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid != pwd.getpwnam(user).pw_uid:
        _log(f"user {uid} is not {user}, so it gets no answer")
        raise SystemExit(1)


def _line(client: socket.socket) -> bytes:
    """Reads one line, or as much as is too long for one, within one time for all of it."""
    line, until = b"", time.monotonic() + CLIENT_SECONDS
    while b"\n" not in line and len(line) <= requests.LONGEST_LINE:
        try:
            client.settimeout(max(0.001, until - time.monotonic()))
            data = client.recv(requests.LONGEST_LINE)
        except OSError as error:
            raise RefusedError("no request arrived in time") from error
        if not data:
            break
        line += data
    client.settimeout(CLIENT_SECONDS)
    return line.partition(b"\n")[0]


def _carried_out(
    client: socket.socket, options: argparse.Namespace, order: Order, asked: Start
) -> Answer:
    if order.begun() is not None:
        return _result(order)
    program = programs.find(options.helpers, asked.name)
    unit = f"fleet-agent-helper-{asked.name}-{order.key[:16]}.service"
    begun = Begun(asked.name, unit, boot_id(), asked.seconds, program.reboots)
    if not order.begin(begun):
        return _result(order)
    _log(f"{asked.name}: started for order {order.key[:16]} as {unit}")
    _send(client, {"started": True})
    outcome = units.run(program, asked.arguments, unit, asked.seconds)
    if program.reboots and outcome.outcome == "done":
        # Not done yet: the end of the machine ends this process, and who asks after its start hears of it.
        time.sleep(asked.seconds)
        outcome = Outcome("failed", f"the machine did not restart within {asked.seconds} s", 0)
    if (noted := order.outcome()) is not None:  # by who canceled it
        return vars(noted)
    try:
        order.end(outcome)
    except OSError as error:  # who waits hears of it all the same
        _log(f"{asked.name}: the outcome could not be stored: {error}")
    _log(f"{asked.name}: {outcome.outcome} {outcome.reason}".rstrip())
    return vars(outcome)


def _result(order: Order) -> Answer:
    """Gives what became of an order that was begun, or that it is under way."""
    begun = order.begun()
    if begun is None:
        return {"outcome": "unknown"}
    if order.is_locked():
        return {"outcome": "running"}
    outcome = order.outcome()
    if outcome is None:
        is_same = begun.boot == boot_id()
        if is_same and begun.reboots and order.seconds_left(begun):
            return {"outcome": "running"}  # the machine may be on its way down
        outcome = _end_of(begun, is_same_boot=is_same)
        order.end(outcome)
    return vars(outcome)


def _canceled(order: Order) -> Answer:
    """Ends what was begun for an order, if it goes on; has one that was not begun never begin."""
    if order.begin(Begun("", "", boot_id(), 0, reboots=False)):
        # The request to begin it may still be on its way, in a process of its own.
        order.end(_CANCELED)
        return vars(_CANCELED)
    begun = order.begun()
    if begun is None or begun.reboots or not order.is_locked():
        return _result(order)
    # Noted first: so who runs it knows why it ended. Where that cannot be, it is ended all the same.
    with contextlib.suppress(OSError):
        order.end(_CANCELED)
    _log(f"{begun.name}: order {order.key[:16]} is canceled")
    until = time.monotonic() + _ENDING_SECONDS
    while order.is_locked() and time.monotonic() < until:
        # Perhaps it is only about to be started.
        units.stop(begun.unit)
        time.sleep(0.1)
    return _result(order)


def _end_of(begun: Begun, *, is_same_boot: bool) -> Outcome:
    """Returns how an order ended whose end was not observed."""
    if is_same_boot:
        units.stop(begun.unit)
        return Outcome("failed", "it was ended with the helper")
    if begun.reboots:
        return Outcome("done", "the machine has restarted", 0)
    return Outcome("failed", "the machine went down while it ran")


def _send(client: socket.socket, answer: Answer) -> None:
    # Who is gone asks for the result when it is back.
    with contextlib.suppress(OSError):
        client.sendall(json.dumps(answer).encode() + b"\n")


def _part(client: socket.socket) -> None:
    """Reads what is still coming: closed before, the connection would be reset, and the answer lost with it."""
    until = time.monotonic() + CLIENT_SECONDS
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        while client.recv(requests.LONGEST_LINE) and time.monotonic() < until:
            pass


def _log(text: str) -> None:
    """Writes one line for the journal; what others chose is escaped."""
    sys.stderr.write(f"{text.encode('ascii', 'backslashreplace').decode()}\n")


if __name__ == "__main__":
    main()
