"""``fleet-agent parameters``: each template parameter's value on this device, and its source."""

import argparse
import os
from collections.abc import Iterator, Sequence

from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.config.paths import reserved
from fleet_agent.device import Parameter, Unusable, examine
from fleet_agent.errors import Exit


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "parameters",
        parents=[common],
        help="show the template parameters, with their values and sources",
        description="Shows the parameters that this device sends to the provisioning template. Exit status: 0 "
        "every parameter has a value, 78 at least one has none.",
    )
    flags.add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    settings = flags.settings(arguments)
    wanted, own = settings.provisioning, reserved(settings, os.environ)
    found = examine(wanted.parameters, reserved=own) if wanted else ()
    has_all = all(isinstance(parameter, Parameter) for parameter in found)
    width = max((len(parameter.name) for parameter in found), default=0)
    return Outcome(
        data={"parameters": [_entry(parameter) for parameter in found]},
        lines=[f"{parameter.name:{width}}  {_words(parameter)}" for parameter in found],
        notes=[] if arguments.json else list(_notes(found)),
        status=int(Exit.DONE if has_all else Exit.WRONG_ON_DEVICE),
    )


def _entry(parameter: Parameter | Unusable) -> dict[str, object]:
    entry: dict[str, object] = {"name": parameter.name, "value": None, "source": None}
    if isinstance(parameter, Parameter):
        return entry | {
            "value": parameter.value,
            "source": parameter.source,
            "warnings": list(parameter.warnings),
        }
    return entry | {"reasons": list(parameter.reasons)}


def _words(parameter: Parameter | Unusable) -> str:
    return (
        f"{parameter.value}  ({parameter.source})"
        if isinstance(parameter, Parameter)
        else "no usable value"
    )


def _notes(found: Sequence[Parameter | Unusable]) -> Iterator[str]:
    if not found:
        yield "The configuration names no template parameters."
    for parameter in found:
        if isinstance(parameter, Parameter):
            yield from (f"warning: {parameter.name}: {warning}" for warning in parameter.warnings)
        else:
            yield from (f"fleet-agent: {parameter.name}: {reason}" for reason in parameter.reasons)
