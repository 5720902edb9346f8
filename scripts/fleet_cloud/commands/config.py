"""``fleet-cloud config``: the agent's config.yaml for this fleet."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from fleet_cloud.aws.names import CLAIM_CERTIFICATE_FILE, CLAIM_KEY_FILE
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.fleet import configuration, connection, spread
from fleet_cloud.fleet.claim_folder import ClaimFolder
from fleet_cloud.fleet.configuration import (
    DEVICE_CLAIM_FOLDER,
    Credentials,
    DeviceConfiguration,
    Endpoint,
)
from fleet_cloud.local import files, pem, quoting
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import credentials, templates

NAME = ("config",)
SUMMARY = "write the agent's config.yaml for this fleet"
DESCRIPTION = f"""\
Writes DIR/config.yaml with endpoint, CA, claim, template and spread, and with the endpoint and role aliases of AWS
credentials if the fleet has them (up --credentials). Its relative paths start at its own folder, so DIR works where it
is, on a bench, and as /etc/fleet-agent of an image:

  fleet-cloud claim new --image DIR --fleet-size N      the claim and config.yaml: all in one
  fleet-cloud config --out DIR --fleet-size M --force   other settings

The claim's paths are claim/NAME if DIR/claim holds a claim, the bare file names if DIR itself does, and
{DEVICE_CLAIM_FOLDER}/NAME otherwise; --claim-dir gives another folder, as the device sees it. A CA file is copied into
DIR as ca.pem.

Without --device-endpoint, AWS is asked for the endpoint and whether the template exists; with it, AWS is not asked. An
existing config.yaml with other content is replaced only with --force; its endpoint and CA stay unless they are given
again.
"""

CONFIG_FILE = "config.yaml"
CA_FILE = "ca.pem"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what goes into the file, and where it goes."""
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="the folder for config.yaml"
    )
    add_content(parser)
    parser.add_argument(
        "--claim-dir", metavar="DIR", help="the claim's folder, as the device sees it"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a config.yaml with other content"
    )


def add_for_claim(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of :func:`for_claim`."""
    parser.add_argument("--no-config", action="store_true", help="write no config.yaml")
    add_content(parser)


def add_content(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for what goes into the file and cannot be known otherwise."""
    parser.add_argument(
        "--device-endpoint",
        metavar="HOST[:PORT]",
        help="where devices connect (default: the account's endpoint; port 8883)",
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        help="CA of the endpoint's certificate (default: the device's own store, which has Amazon's)",
    )
    parser.add_argument(
        "--fleet-size",
        metavar="N",
        type=int,
        help="how many devices may be switched on together: spreads their first connections (default: no spread)",
    )
    parser.add_argument(
        "--quota",
        metavar="N",
        type=float,
        default=spread.REGISTRATIONS_PER_SECOND,
        help="registrations a second that the account's quota allows (default: %(default)s)",
    )
    _add_users(parser)


def _add_users(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--credentials-user",
        metavar="USER",
        action="append",
        default=[],
        help="user on the device whose programs may have AWS credentials (up --credentials); may be repeated",
    )


def add_place(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say where a claim goes."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--out", metavar="DIR", type=Path, help="folder for key, certificate and config.yaml"
    )
    place.add_argument(
        "--image",
        metavar="DIR",
        type=Path,
        help="folder that becomes /etc/fleet-agent: config.yaml in DIR, key and certificate in DIR/claim",
    )


def claim_folder(arguments: argparse.Namespace) -> ClaimFolder:
    """Returns the claim's folder that these flags name."""
    return ClaimFolder(arguments.image / "claim" if arguments.image else arguments.out)


def check(arguments: argparse.Namespace) -> None:
    """Checks the flags of :func:`add_content`, for whoever makes something before the file that they are for.

    Raises:
        FleetCloudError: One cannot be.
    """
    if arguments.fleet_size is not None:
        spread.window_seconds(arguments.fleet_size, arguments.quota)
    if arguments.device_endpoint:
        configuration.endpoint(arguments.device_endpoint)
    if arguments.ca_file:
        _ca_text(arguments.ca_file)


def for_claim(context: Context, arguments: argparse.Namespace) -> Outcome | None:
    """Writes the configuration for a claim; an existing one is kept unless a flag says what it should contain.

    Raises:
        FleetCloudError: It says something else than the flags.
    """
    asked = (arguments.device_endpoint, arguments.ca_file, arguments.fleet_size)
    out: Path = arguments.image or arguments.out
    if arguments.no_config or (not any(asked) and (out / CONFIG_FILE).is_file()):
        return None
    return write(context, out, "claim" if arguments.image else "", arguments)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Writes config.yaml."""
    out: Path = arguments.out
    inner = out / "claim" / CONFIG_FILE
    if inner.is_file() and not arguments.force:
        raise FleetCloudError(
            f"claim new wrote {inner}, and a second configuration would differ from it",
            remedy=f"to change that file: --out {quoting.word(inner.parent)}; or delete it, or add --force",
            code="file-exists",
        )
    found = _claim_folder(out, arguments.claim_dir)
    return write(context, out, found, arguments, force=arguments.force)


def write(
    context: Context,
    out: Path,
    claim: str,
    arguments: argparse.Namespace,
    *,
    force: bool = False,
) -> Outcome:
    """Gathers what the file says, and writes it.

    Args:
        context: What a command gets.
        out: The folder for the file.
        claim: The claim's folder, as the file is to name it.
        arguments: The flags of :func:`add_content`.
        force: Replace a file that says something else.

    Raises:
        FleetCloudError: There is one that says something else, with the code ``file-exists``.
    """
    window, reason = _spread(context, arguments.fleet_size, arguments.quota)
    place, ca = kept_in(out)
    kept = str(out / ca) if ca and not arguments.ca_file else None
    ca_text, ca_file = _ca(context, out, arguments.ca_file or kept)
    given: str | None = arguments.device_endpoint
    if given:
        endpoint, vended = configuration.endpoint(given), None
    else:
        endpoint, vended = _ask(context, place, arguments.credentials_user)
    wanted = DeviceConfiguration(
        endpoint=endpoint,
        credentials=vended,
        ca_file=ca_file,
        claim_certificate=os.path.join(claim, CLAIM_CERTIFICATE_FILE),  # noqa: PTH118 - the device's path
        claim_key=os.path.join(claim, CLAIM_KEY_FILE),  # noqa: PTH118 - the device's path
        template=context.names.template,
        spread=spread.duration(window),
        spread_reason=reason,
    )
    rendered = configuration.render(wanted)
    written = {out / CONFIG_FILE: rendered}
    if ca_text is not None:
        written[out / CA_FILE] = ca_text
    state = _write(context, out, written, force=force)
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "dry_run": context.shell.dry_run,
            "state": state,
            "config_file": str(out / CONFIG_FILE),
            "endpoint": wanted.endpoint.host,
            "port": wanted.endpoint.port,
            "credentials_endpoint": vended.endpoint.host if vended else None,
            "role_aliases": list(vended.aliases) if vended else [],
            "ca_file": wanted.ca_file,
            "claim_certificate": wanted.claim_certificate,
            "claim_private_key": wanted.claim_key,
            "template": wanted.template,
            "spread": wanted.spread,
        },
        lines=[
            f"{out / CONFIG_FILE}: {state}",
            f"  devices connect to {wanted.endpoint.host} port {wanted.endpoint.port}",
            f"  claim {wanted.claim_certificate}",
            *([f"  AWS credentials from {vended.endpoint.host}"] if vended else []),
            f"  spread {wanted.spread}: {reason}",
        ],
    )


def kept_in(folder: Path) -> tuple[str | None, str | None]:
    """Returns endpoint and CA file that an earlier configuration in a folder says."""
    return configuration.remembered(files.read(folder / CONFIG_FILE) or "")


def _spread(context: Context, fleet_size: int | None, quota: float) -> tuple[int, str]:
    if fleet_size is None:
        context.console.say(
            "no spread: with more than a few devices pass their number, --fleet-size N, or they all connect at once"
        )
        return 0, "all at once; fleet-cloud config --fleet-size N spreads them"
    window = spread.window_seconds(fleet_size, quota)
    return window, f"{fleet_size} devices, {quota:g} registrations a second"


def _ca(context: Context, out: Path, given: str | None) -> tuple[str | None, str | None]:
    """Returns the CA's text to write into the folder, and the path that the configuration names."""
    if given is None:
        return None, None
    found = _ca_text(given)
    if found is None:
        context.console.say(f"{given} does not exist here, so it is used as a path on the device")
        return None, given
    if Path(given).resolve() == (out / CA_FILE).resolve():
        return None, CA_FILE
    return found, CA_FILE


def _ca_text(given: str) -> str | None:
    """Returns the certificates in a CA file; None: it is one of the device."""
    found = pem.certificates(Path(given), "--ca-file")
    if found is None and not given.startswith("/"):
        raise UsageError(
            f"--ca-file {given} does not exist",
            remedy="name a file on this machine, or write its absolute path on the device",
        )
    return found


def _claim_folder(out: Path, given: str | None) -> str:
    """Returns the claim's folder as the configuration is to name it; empty beside the configuration."""
    if given is not None:
        return given
    if ClaimFolder(out / "claim").is_complete:
        return "claim"
    return "" if ClaimFolder(out).is_complete else DEVICE_CLAIM_FOLDER


def _ask(
    context: Context, place: str | None, users: Sequence[str]
) -> tuple[Endpoint, Credentials | None]:
    """Asks AWS where devices connect, unless that is known, what is there for them, and their role aliases."""
    aws = context.aws()
    described, template, credentials_endpoint = aws.ask_all(
        [
            connection.ask_endpoint(aws),
            templates.read(aws, context.names),
            connection.ask_credentials_endpoint(aws),
        ]
    )
    if template is None:
        raise templates.missing(
            context.names.template,
            aws.region,
            "a device with this configuration could not provision",
            "set the fleet up first: fleet-cloud up; or pass --device-endpoint to write it without asking AWS",
        )
    vended = None
    if aliases := credentials.aliases_of(aws, context.names):
        found = connection.credentials_endpoint_of(credentials_endpoint)
        vended = Credentials(endpoint=found, aliases=aliases, users=users)
    return connection.endpoint_of(described, place), vended


def _write(context: Context, out: Path, written: dict[Path, str], *, force: bool) -> str:
    """Writes the files that are not so yet; returns ``written`` (in a dry run ``stale``) or ``unchanged``."""
    found = {path: files.read(path) for path in written}
    stale = [path for path, content in written.items() if found[path] != content]
    other = [path for path in stale if found[path] is not None]
    if other and not force:
        raise FleetCloudError(
            f"{other[0]} already exists with other contents",
            remedy="compare with --dry-run, then replace it with --force; or choose another --out",
            code="file-exists",
        )
    if stale:
        context.shell.make_folder(out, 0o755)
    for path in stale:
        context.shell.write_public(path, written[path])
    if not stale:
        return "unchanged"
    return "stale" if context.shell.dry_run else "written"
