"""``fleet-agent parameters``: each template parameter's value on this device, and its source."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from fleet_agent.cli import flags
from fleet_agent.config.paths import reserved
from fleet_agent.device import Parameter, Unusable, examine
from fleet_agent.errors import Exit


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "parameters",
        parents=[common],
        help="show the template parameters' values and where they come from",
        description="Exit status: 0 every parameter has a value, 78 at least one has none.",
    )
    flags.add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    settings = flags.settings(arguments)
    wanted, own = settings.provisioning, reserved(settings, os.environ)
    found = examine(wanted.parameters, reserved=own) if wanted else ()
    if arguments.json:
        sys.stdout.write(json.dumps(_answer(found)) + "\n")
    else:
        _tell(found)
    has_all = all(isinstance(one, Parameter) for one in found)
    return int(Exit.DONE if has_all else Exit.WRONG_ON_DEVICE)


def _answer(found: Sequence[Parameter | Unusable]) -> dict[str, object]:
    entries: list[dict[str, object]] = []
    for one in found:
        entry: dict[str, object] = {"name": one.name, "value": None, "source": None}
        if isinstance(one, Parameter):
            entry |= {"value": one.value, "source": one.source, "warnings": list(one.warnings)}
        else:
            entry |= {"reasons": list(one.reasons)}
        entries.append(entry)
    return {"schema": 1, "parameters": entries}


def _tell(found: Sequence[Parameter | Unusable]) -> None:
    if not found:
        sys.stderr.write("The configuration names no template parameters.\n")
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        if isinstance(one, Parameter):
            sys.stdout.write(f"{one.name:{width}}  {one.value}  ({one.source})\n")
            for warning in one.warnings:
                sys.stderr.write(f"warning: {one.name}: {warning}\n")
        else:
            sys.stdout.write(f"{one.name:{width}}  no usable value\n")
            for reason in one.reasons:
                sys.stderr.write(f"fleet-agent: {one.name}: {reason}\n")
