"""The flags that stand in for a configuration file, or over one: as in the SDK's samples."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from fleet_agent import files
from fleet_agent.config.paths import config_file, runtime_dir
from fleet_agent.config.settings import STATE_DIR, Settings
from fleet_agent.errors import StateDirectoryError, UsageError

# flag, setting, hidden spelling of the SDK's sample, help
_SETTINGS = (
    ("--endpoint", "endpoint", None, "HOST", "endpoint (aws iot describe-endpoint --endpoint-type iot:Data-ATS)"),
    ("--port", "port", None, "PORT", "8883 (default), or 443 through firewalls"),
    ("--ca-file", "ca_file", "--ca_file", "FILE", "CA certificates for the endpoint (default: the system's)"),
    ("--cert", "claim.certificate", None, "FILE", "claim certificate"),
    ("--key", "claim.private_key", None, "FILE", "the claim's private key"),
    ("--template-name", "provisioning.template", "--template_name", "NAME", "provisioning template"),
    ("--method", "provisioning.method", None, "csr|keys", "key made here (csr, default) or by AWS (keys)"),
    ("--key-type", "provisioning.key.type", None, "ec-p256|rsa-2048", "key type (default ec-p256)"),
    ("--telemetry-topic", "telemetry.topic", None, "TOPIC", "topic of readings (default dt/{thing}/{source})"),
    ("--state-dir", "state_dir", "--state_dir", "DIR", "state directory (default /var/lib/fleet-agent)"),
    ("--runtime-dir", "runtime_dir", None, "DIR", "runtime directory, for status.json and identity.json"),
)  # fmt: skip

_PARAMETERS = "provisioning.parameters"
SPREAD = "provisioning.spread"  # no flag of its own: fleet-agent config install works it out of --fleet-size


# What an adopted identity comes from: the same flags as a claim's, in another section.
_IDENTITY = (
    "identity.certificate",
    "identity.private_key",
    "identity.thing_name",
    "identity.thing_name_from",
)
# None of them says anything of an identity that is adopted.
_ASKED_FOR = ("claim.", "provisioning.")


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Gives a verb the flags of an identity that the device has already, and those for settings but a claim's."""
    group = parser.add_argument_group(
        "the identity (overrides the section identity of the configuration)"
    )
    group.add_argument(
        "--cert", dest=_IDENTITY[0], metavar="FILE", help="certificate, CA certificates may follow"
    )
    group.add_argument(
        "--key", dest=_IDENTITY[1], metavar="FILE|URI", help="its private key, or pkcs11:…"
    )
    names = group.add_mutually_exclusive_group()
    names.add_argument("--thing-name", dest=_IDENTITY[2], metavar="NAME", help="the thing's name")
    names.add_argument(
        "--thing-name-from",
        dest=_IDENTITY[3],
        choices=("cn", "client-id"),
        help="take it from the certificate's common name (cn, default), or use none: the certificate id is the "
        "client id (client-id)",
    )
    group = parser.add_argument_group("settings (override or replace the configuration file)")
    for flag, setting, _, metavar, text in _SETTINGS:
        if not setting.startswith(_ASKED_FOR):
            group.add_argument(
                flag,
                dest=setting,
                metavar=metavar,
                help=text,
                type=_port if flag == "--port" else str,
            )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Gives a verb the flags for settings."""
    group = parser.add_argument_group("settings (override or replace the configuration file)")
    for flag, setting, sample, metavar, text in _SETTINGS:
        group.add_argument(
            flag, dest=setting, metavar=metavar, help=text, type=_port if flag == "--port" else str
        )
        if sample:
            group.add_argument(sample, dest=setting, help=argparse.SUPPRESS)
    for flag, text in (
        ("--template-parameters", 'template parameters, such as \'{"SerialNumber": "1"}\''),
        ("--template_parameters", argparse.SUPPRESS),
    ):
        group.add_argument(flag, dest=_PARAMETERS, metavar="JSON", type=_parameters, help=text)


def add_owner(parser: argparse.ArgumentParser) -> None:
    """Gives a verb that root runs as the state directory's owner the flag that allows any."""
    parser.add_argument(
        "--as-owner",
        action="store_true",
        help="when started as root, continue as the owner of the state directory, even if that is not the "
        "package's user",
    )


def add_timeout(parser: "argparse._ActionsContainer", default: float) -> None:
    """Gives a verb the limit of its walk."""
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=default,
        metavar="SECONDS",
        help="give up after this long; 0: never (default %(default)g)",
    )


def add_allow_volatile(parser: "argparse._ActionsContainer") -> None:
    """Gives a verb the flag that insists on a state directory in memory."""
    parser.add_argument(
        "--allow-volatile", action="store_true", help="accept a state directory in memory"
    )


def become_owner(arguments: argparse.Namespace, state_dir: Path, *, stdin: bool = False) -> None:
    """Started as root: go on as the owner of the state directory, without the terminal.

    Args:
        arguments: Of a verb that has the flag of ``add_owner``.
        state_dir: The state directory.
        stdin: What is typed at the terminal is still wanted.

    Raises:
        AgentError: There is no user that root may become there.
    """
    from fleet_agent.statedir.owner import become_owner, ensure_place

    ensure_place(state_dir)
    become_owner(state_dir, any_owner=arguments.as_owner, stdin=stdin)


def overrides(arguments: argparse.Namespace) -> dict[str, object]:
    """Returns the given flags: dotted key → value."""
    named = (*(setting for _, setting, *_ in _SETTINGS), *_IDENTITY, _PARAMETERS, SPREAD)
    given = {setting: getattr(arguments, setting, None) for setting in named}
    return {setting: value for setting, value in given.items() if value is not None}


def settings(arguments: argparse.Namespace) -> Settings:
    """The settings from file and flags together.

    Raises:
        ConfigurationError: The file or a flag is wrong.
        UsageError: There is no file, and no flag names the endpoint.
    """
    given = overrides(arguments)
    path, is_named = config_file(arguments.config, os.environ)
    if not is_named and "endpoint" not in given and not path.exists():
        raise UsageError(
            f"There is no configuration file {path}, and no --endpoint.",
            remedy="Pass --config FILE, or --endpoint --cert --key --template-name as with AWS's sample.",
            code="usage",
        )
    from fleet_agent.config.load import load

    return load(path, overrides=given, required=is_named)


def directories(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """State and runtime directory: all that a verb needs which only looks. No endpoint must be given for that.

    Raises:
        ConfigurationError: The configuration file is wrong.
    """
    path, is_named = config_file(arguments.config, os.environ)
    if is_named or path.exists():
        found = settings(arguments)
        state_dir, runtime = found.state_dir, found.runtime_dir
    else:
        state_dir, runtime = arguments.state_dir or STATE_DIR, arguments.runtime_dir
    return Path(state_dir), runtime_dir(Path(state_dir), runtime)


def write_file(flag: str, path: Path, data: bytes, mode: int) -> None:
    """Writes the file that a flag names.

    Raises:
        StateDirectoryError: It cannot be written. What stands in its place is the user's own: nothing is to be moved.
    """
    try:
        files.write(path.absolute(), data, mode)
    except StateDirectoryError as error:
        raise StateDirectoryError(
            error.title,
            remedy=f"Pass {flag} a file, not a link, in an existing folder that you may write to.",
            code="file-not-written",
        ) from error


def seconds(text: str) -> float:
    """An argument that is a number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:  # noqa: PLR2004 - finite, and no NaN
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def _parameters(text: str) -> dict[str, str]:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not JSON ({error})") from error
    known: dict[str, Any] = value if isinstance(value, dict) else {"it": None}
    for name, item in known.items():
        if not isinstance(item, str):
            raise argparse.ArgumentTypeError(
                f'{name} is not text: a JSON object with string values is expected, such as {{"SerialNumber": "1"}}'
            )
    return known


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name appears twice")
    return found


def _port(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number")
    return int(text)
