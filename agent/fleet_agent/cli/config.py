"""``fleet-agent config``: is the configuration right, what comes of it, and what it may say."""

import argparse
import json
import os
import sys

from fleet_agent.cli import flags


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "config",
        parents=[common],
        help="check or show the configuration, or its JSON Schema",
        description="check: every error at once, with its place; exit status 78 if there is one. "
        "show: what file, drop-ins, flags and defaults come to together. "
        "schema: the JSON Schema of the file, for editors.",
    )
    parser.add_argument("action", choices=("check", "show", "schema"))
    flags.add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    actions = {"check": _check, "show": _show, "schema": _schema}
    sys.stdout.write(actions[arguments.action](arguments) + "\n")
    return 0


def _check(arguments: argparse.Namespace) -> str:
    from fleet_agent.config.load import files
    from fleet_agent.config.paths import config_file

    flags.settings(arguments)
    path, _ = config_file(arguments.config, os.environ)
    read = [str(file) for file in files(path) if file.exists()]
    if arguments.json:
        return json.dumps({"schema": 1, "valid": True, "files": read})
    return "\n".join(f"{file}: ok" for file in read) or "flags: ok"


def _show(arguments: argparse.Namespace) -> str:
    from fleet_agent.config.write import effective

    written = effective(flags.settings(arguments))
    if arguments.json:
        return json.dumps({"schema": 1, "settings": written})
    import yaml

    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=99).rstrip("\n")


def _schema(_arguments: argparse.Namespace) -> str:
    from fleet_agent.config.schema import json_schema

    return json.dumps(json_schema(), indent=2)
