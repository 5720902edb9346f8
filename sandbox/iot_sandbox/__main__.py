"""``python -m iot_sandbox``: one JSON line on stdout when ready, everything else on stderr."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from iot_sandbox import environment, listeners, state
from iot_sandbox.limits import RULES, Limits
from iot_sandbox.settings import EXIT_CANNOT_WRITE, EXIT_UNAVAILABLE, SandboxError, Settings
from iot_sandbox.switches import SWITCHES, SwitchError, measured, positions, split


def parse(arguments: list[str] | None) -> Settings:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="iot_sandbox",
        description="A local AWS IoT Core for tests, demos and benches.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(_tables()),
    )
    parser.add_argument("--state-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="a further name or address for the server certificate; devices are sent to the first",
    )
    _add_ports(parser)
    parser.add_argument("--region", default="eu-west-1", help="the AWS region it stands for")
    _add_limits(parser)
    _add_provider(parser)
    parser.add_argument("--follow-stdin", action="store_true", help="end when stdin is closed")
    _add_switches(parser)
    parsed = parser.parse_args(arguments)
    try:
        switches, without = split(_like(parsed.like) | positions(parsed.turned))
    except SwitchError as error:
        parser.error(str(error))
    mqtt_ports = tuple(parsed.mqtt_ports or (8883,))
    credentials_port = parsed.credentials_port
    if credentials_port is None:
        # Who asks for a free port may run several sandboxes: they must not share this port.
        credentials_port = 0 if 0 in mqtt_ports else 9443
    return Settings(
        state_dir=parsed.state_dir,
        host=parsed.host,
        names=tuple(parsed.name),
        mqtt_ports=mqtt_ports,
        http_port=parsed.http_port,
        credentials_port=credentials_port,
        region=parsed.region,
        limits=Limits(
            frozenset(parsed.without) | without, parsed.shortest_keep_alive, parsed.resend
        ),
        switches=switches,
        certificate_life=parsed.certificate_life,
        certificate_chain=parsed.certificate_chain,
        follow_stdin=parsed.follow_stdin,
    )


def _tables() -> Iterator[str]:
    yield "AWS's limits, each of which --without leaves out:"
    yield from (f"  {rule:<16} {words}" for rule, words in RULES.items())
    yield ""
    yield "what is not known of AWS, with the positions that --set takes (the first by itself):"
    for name, switch in SWITCHES.items():
        yield f"  {name}: {switch.about}\n      {switch.words}"


def _like(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    found, beyond = measured(file)
    for line in beyond:
        sys.stderr.write(f"iot_sandbox: {line}\n")
    return found


def _add_ports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mqtt-port",
        type=_port,
        action="append",
        dest="mqtt_ports",
        metavar="PORT",
        help="0 picks a free one (8883); may be repeated, as for 8883 and 443; devices are sent to the first",
    )
    parser.add_argument("--http-port", type=_port, default=4566, help="0 picks a free one (4566)")
    parser.add_argument(
        "--credentials-port",
        type=_port,
        help="of the credentials endpoint; 0 picks a free one (9443, or a free one with --mqtt-port 0)",
    )


def _add_switches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="turned",
        metavar="NAME=POSITION",
        help="turn a switch, listed below; may be repeated",
    )
    parser.add_argument(
        "--like",
        type=Path,
        metavar="FILE",
        help="turn every switch as scripts/acceptance measured it on an account; --set stands above it",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=RULES,
        metavar="RULE",
        help="leave out one of AWS's limits, listed below; may be repeated",
    )
    parser.add_argument(
        "--shortest-keep-alive",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="what a shorter keep-alive counts as (30)",
    )
    parser.add_argument(
        "--resend",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="a message without PUBACK is sent again after so long (30)",
    )


def _add_provider(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--certificate-life",
        type=_seconds,
        metavar="SECONDS",
        help="a certificate provider, the account's own CA, signs what is asked for by CSR: for so long (2049)",
    )
    parser.add_argument(
        "--certificate-chain",
        action="store_true",
        help="that CA is an intermediate one: it comes with each certificate, and a device must show it",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004  what TCP has
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds, 1 at least")
    return int(text)


def _take_stdout() -> int:
    """Keeps stdout for the ready line: what anybody else prints goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def _run(settings: Settings) -> None:
    with ExitStack() as stack:
        state_dir = stack.enter_context(state.claimed(settings.state_dir))
        listen = partial(listeners.listen, settings.host)
        http = stack.enter_context(listen(settings.http_port, "--http-port"))
        mqtt = [stack.enter_context(listen(port, "--mqtt-port")) for port in settings.mqtt_ports]
        credentials = stack.enter_context(listen(settings.credentials_port, "--credentials-port"))
        environment.prepare(settings, state_dir, http, mqtt[0])
        try:
            from iot_sandbox import server  # only now: ministack reads its environment on import
        except ModuleNotFoundError as error:
            raise SandboxError(
                f"{error.name} is not installed; install fleet-agent[sandbox]", EXIT_UNAVAILABLE
            ) from error
        answer = _take_stdout()

        def announce(ready: dict[str, object]) -> None:
            try:
                with os.fdopen(answer, "w") as stdout:
                    stdout.write(json.dumps(ready) + "\n")
            except OSError as error:
                raise SandboxError(
                    f"stdout cannot be written: {error.strerror}", EXIT_CANNOT_WRITE
                ) from error

        listening = listeners.Listening(http=http, mqtt=mqtt, credentials=credentials)
        server.run(settings, state_dir, listening, announce)


def main(arguments: list[str] | None = None) -> int:
    """Runs one sandbox until it is asked to end; returns the exit status."""
    try:
        _run(parse(arguments))
    except SandboxError as error:
        sys.stderr.write(f"iot_sandbox: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:  # before there was anything to save
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
