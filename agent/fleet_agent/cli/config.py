"""``fleet-agent config``: check the configuration, show what comes of it, its schema, and put it into an image."""

import argparse
import functools
import json
import os
from pathlib import Path

from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.errors import UsageError
from fleet_agent.process import streams


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "config",
        parents=[common],
        help="check, show or install the configuration, or print its JSON Schema",
        description="check: report all errors at once, with their positions; exit status 78 if there are any. "
        "show: print the result of file, drop-ins, flags and defaults. schema: print the JSON Schema of the file, "
        "for editors. install: copy the configuration, with its drop-ins and the claim it names, into "
        "/etc/fleet-agent of the image mounted at --root, with the modes and group that the service needs; flags "
        "go into config.d/99-installed.yaml.",
    )
    parser.add_argument("action", choices=("check", "show", "schema", "install"))
    group = parser.add_argument_group("install")
    group.add_argument(
        "--root", metavar="DIR", help="where the image's root partition is mounted (default /)"
    )
    group.add_argument(
        "--fleet-size",
        metavar="N",
        type=_fleet_size,
        dest=flags.SPREAD,
        help="how many devices may be switched on together: spreads their first connections",
    )
    group.add_argument("--force", action="store_true", help="replace files with other content")
    group = parser.add_argument_group("check")
    group.add_argument(
        "--keep",
        action="store_true",
        help="keep the result beside the file, which must be yours: the daemon then starts without checking it "
        "again, until something changes",
    )
    flags.add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    actions = {"check": _check, "show": _show, "schema": _schema, "install": _install}
    if arguments.action != "install" and (arguments.root or arguments.force):
        raise UsageError(
            f"--root and --force work with install, not with {arguments.action}.",
            remedy="See fleet-agent config --help",
            code="usage",
        )
    if arguments.keep and (arguments.action != "check" or flags.overrides(arguments)):
        raise UsageError(
            "--keep works only with check, and without flags for settings.",
            remedy="See fleet-agent config --help",
            code="usage",
        )
    return actions[arguments.action](arguments)


def _check(arguments: argparse.Namespace) -> Outcome:
    from fleet_agent.config.paths import config_file, configuration_files

    load = functools.partial(flags.settings, arguments)
    path, _ = config_file(arguments.config, os.environ)
    kept = None
    if arguments.keep:
        from fleet_agent.config import checked

        kept = str(checked.keep(path, load))
    else:
        load()
    read = [str(file) for file in configuration_files(path) if file.exists()]
    lines = [f"{file}: ok" for file in read] or ["flags: ok"]
    if kept:
        lines.append(f"kept for the next start: {kept}")
    return Outcome(data={"valid": True, "files": read, "kept": kept}, lines=lines)


def _show(arguments: argparse.Namespace) -> Outcome:
    from fleet_agent.config.render import body
    from fleet_agent.config.write import effective

    written = effective(flags.settings(arguments))
    if arguments.json:
        return Outcome(data={"settings": written})
    return Outcome(text=body(written, streams.can_show))


def _schema(_arguments: argparse.Namespace) -> Outcome:
    from fleet_agent.config.schema import json_schema

    return Outcome(text=json.dumps(json_schema(), indent=2))


def _install(arguments: argparse.Namespace) -> Outcome:
    from fleet_agent.config.paths import config_file
    from fleet_agent.identity.image import install
    from fleet_agent.statedir.owner import GROUP

    path, _ = config_file(arguments.config, os.environ)
    root = Path(arguments.root or "/").absolute()
    done = install(
        flags.settings(arguments),
        root,
        config=path if path.exists() else None,
        flags=flags.overrides(arguments),
        force=arguments.force,
    )
    data = {
        "root": str(root),
        "files": list(done.files),
        "group_id": done.group_id,
        "warnings": list(done.warnings),
    }
    owner = (
        f"root:{GROUP}"
        if done.group_id is not None
        else f"root:root until {GROUP} exists, at boot"
    )
    return Outcome(
        data=data,
        lines=[*done.files, f"in {root}, {owner}"],
        notes=[f"check: {root}: {warning}." for warning in done.warnings],
    )


def _fleet_size(text: str) -> str:
    """The window for this many devices, as the file has it."""
    from fleet_agent.config.units import format_duration
    from fleet_agent.session import backoff

    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of devices")
    return format_duration(backoff.window(int(text)))
