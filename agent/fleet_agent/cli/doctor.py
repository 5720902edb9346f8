"""``fleet-agent doctor``: what is wrong with this device, or with an image, and what to type."""

import argparse
import dataclasses
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome, show
from fleet_agent.cli.terminal import Line, Styled
from fleet_agent.clock import SystemClock
from fleet_agent.config.paths import config_file, runtime_dir
from fleet_agent.config.settings import STATE_DIR, Settings
from fleet_agent.doctor import bundle, configuration, examine, upload
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Finding, Level, Subject
from fleet_agent.errors import AgentError, DeviceError, UsageError
from fleet_agent.statedir.owner import become_owner

_MARKS = {
    Level.OK: ("ok", "green"),
    Level.NOTE: ("note", "dim"),
    Level.WARNING: ("warn", "yellow"),
    Level.FAILED: ("FAIL", "red"),
    Level.FIXED: ("fixed", "green"),
}


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "doctor",
        parents=[common],
        help="find what is wrong, and print the commands that fix it",
        description="Checks everything that the agent needs, and changes nothing except with --fix. When started "
        "as root, it checks as the agent's user. Exit status: 0 no check failed, 1 at least one did.",
    )
    flags.add_settings(parser)
    group = parser.add_argument_group("what to do")
    group.add_argument(
        "--online",
        action="store_true",
        help="also check AWS IoT: the connection, and each topic that the claim and the device need",
    )
    group.add_argument("--fix", action="store_true", help="correct modes and owners")
    group.add_argument(
        "--image",
        metavar="ROOT",
        help="check an image that is mounted there instead of this device",
    )
    group.add_argument(
        "--bundle",
        metavar="FILE|s3://…",
        help="write what support needs to a new .tar.gz, without secrets; s3://BUCKET/PREFIX: upload it below the "
        "thing's name, with the device's AWS credentials",
    )
    group.add_argument(
        "--role-alias",
        metavar="NAME",
        default="",
        type=str,
        help="the role alias whose AWS credentials upload the bundle (default: the only one)",
    )
    group.add_argument(
        "--account",
        metavar="ID",
        type=_account,
        help="AWS account number, for policy statements (default: ask the AWS CLI)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    if arguments.image and (arguments.online or arguments.bundle):
        raise UsageError(
            "--image checks a folder; --online and --bundle check a device.",
            remedy="See fleet-agent doctor --help",
            code="usage",
        )
    findings: list[Finding] = []
    is_remote = arguments.bundle is not None and arguments.bundle.startswith(upload.SCHEME)
    if is_remote:
        upload.check(arguments.bundle)
    for found in _image(arguments) if arguments.image else _device(arguments, findings):
        if not arguments.json:
            show(*_lines(found, findings[-1].check if findings else ""))
        findings.append(found)
    return Outcome(
        data={**_answer(findings), "bundle": arguments.bundle},
        lines=_summary(findings, arguments.bundle),
        status=int(any(finding.level is Level.FAILED for finding in findings)),
    )


def _device(arguments: argparse.Namespace, findings: list[Finding]) -> Iterator[Finding]:
    from fleet_agent.doctor.arn import arn_of

    archive = _archive(arguments.bundle)
    path, _ = config_file(arguments.config, os.environ)
    settings, problems = configuration.read(lambda: flags.settings(arguments), path)
    yield from problems
    device = _subject(arguments, settings, path)
    online = None
    if arguments.online:
        found = device.at_home().settings
        endpoint = found.endpoint if found else ""
        online = examine.Online(arn=arn_of(endpoint, arguments.account, asks=True))
    yield from examine.before(device, fixes=arguments.fix)
    collected = bundle.Bundle(device) if archive else None
    try:
        # It only looks, and says itself when the owner is a strange one.
        become_owner(device.state_dir, any_owner=True)
    except AgentError as error:
        yield from Subject("owners and modes").error(error, device.state_dir)
    else:
        yield from examine.after(device.at_home(), online)
    if archive and collected:
        collected.add_findings({"schema": 1, **_answer(findings)})
        try:
            with archive:
                collected.write(archive, device.clock.wall())
                body = archive.getvalue() if isinstance(archive, io.BytesIO) else None
        except OSError as error:
            raise bundle.not_written(arguments.bundle, error) from error
        if body is not None:
            arguments.bundle = _upload(arguments, body, device)


def _archive(name: str | None) -> IO[bytes] | None:
    if name is None:
        return None
    if name.startswith(upload.SCHEME):
        return io.BytesIO()
    return bundle.open_archive(Path(name))


def _upload(arguments: argparse.Namespace, body: bytes, device: Device) -> str:
    """Puts the bundle into S3; returns where it is."""
    from fleet_agent.cli import credentials
    from fleet_agent.identity.configured import in_service, open_store

    if device.settings is None:
        raise DeviceError(
            "Without a configuration there are no AWS credentials to upload the bundle to S3.",
            remedy="Correct the configuration, or write the bundle to a file: --bundle FILE",
            code="configuration",
        )
    credential, _ = in_service(open_store(device.settings))
    keys = credentials.obtain(arguments)
    now = device.clock.wall()
    return upload.put(arguments.bundle, body, device.settings, credential.client_id, keys, now)


def _subject(arguments: argparse.Namespace, settings: Settings | None, path: Path) -> Device:
    state_dir = Path(
        settings.state_dir if settings else getattr(arguments, "state_dir", None) or STATE_DIR
    )
    given = settings.runtime_dir if settings else arguments.runtime_dir
    return Device(
        settings=settings,
        config=path,
        state_dir=state_dir,
        runtime_dir=runtime_dir(state_dir, given),
        clock=SystemClock(),
    )


def _image(arguments: argparse.Namespace) -> Iterator[Finding]:
    from fleet_agent.config.load import load
    from fleet_agent.doctor import image
    from fleet_agent.doctor.fix import fix

    found = image.check(Path(arguments.image).absolute(), load, SystemClock())
    yield from fix(found) if arguments.fix else found


def _answer(findings: list[Finding]) -> dict[str, object]:
    return {
        "failed": sum(finding.level is Level.FAILED for finding in findings),
        "warnings": sum(finding.level is Level.WARNING for finding in findings),
        "findings": [_entry(finding) for finding in findings],
    }


def _entry(found: Finding) -> dict[str, object]:
    values = dataclasses.asdict(found)
    del values["fix"]
    return {**values, "level": found.level.value, "fixable": found.fix is not None}


def _lines(found: Finding, last: str) -> Iterator[Line]:
    """A finding for people: a heading when its check is not the ``last`` one, a line, and what to type below."""
    if found.check != last:
        yield (Styled(found.check, "bold"),)
    word, colour = _MARKS[found.level]
    yield ("  ", Styled(f"{word:6}", colour), f" {found.title}")
    if found.level in (Level.OK, Level.FIXED):
        return
    if found.where and found.where not in found.title:
        yield f"         {found.where}"
    if found.remedy:
        yield ("         ", Styled("→", "dim"), f" {found.remedy}")
    if found.statement:
        yield f"           {json.dumps(dict(found.statement))}"


def _summary(findings: list[Finding], archive: str | None) -> Iterator[Line]:
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    words = [f"{counts[Level.FAILED]} failed", f"{counts[Level.WARNING]} to check"]
    if counts[Level.FIXED]:
        words.append(f"{counts[Level.FIXED]} fixed")
    yield ""
    yield f"{', '.join(words)}, {counts[Level.OK]} ok"
    if archive:
        yield f"{archive}: read it before you send it; secrets are removed, names and topics are not"


def _account(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and len(text) == 12):  # noqa: PLR2004 - an AWS account
        raise argparse.ArgumentTypeError(f"{text!r} is not an AWS account: 12 digits")
    return text
