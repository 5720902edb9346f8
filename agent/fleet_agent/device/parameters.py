"""Settings' ``parameters`` → values, each with where it came from, or with why there is none."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_agent.config.checks import parameter_name, parameter_value
from fleet_agent.config.positions import shown
from fleet_agent.config.shape import WrongValueError
from fleet_agent.config.sources import (
    DeviceTree,
    Dmi,
    FirstOf,
    FromCommand,
    FromEnvironment,
    FromFile,
    Mac,
    MachineId,
    Source,
)
from fleet_agent.device import readers
from fleet_agent.device.finding import Finding, NothingFoundError
from fleet_agent.device.placeholders import is_placeholder
from fleet_agent.errors import DeviceError
from fleet_agent.files.reserved import Reserved


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A template parameter that has a value.

    Attributes:
        name: The template's name for it.
        value: What is sent.
        source: Where it came from, in words: ``device-tree:serial-number``, ``literal``.
        warnings: What is questionable about it, a sentence each.
    """

    name: str
    value: str
    source: str
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Unusable:
    """A template parameter without a value; ``reasons`` has a sentence for each source tried."""

    name: str
    reasons: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Machine:
    """What readers look at: the root of a file system, and an environment; and which files they leave alone."""

    root: Path
    environment: Mapping[str, str]
    reserved: Reserved


def resolve(
    parameters: Mapping[str, Source],
    *,
    reserved: Reserved,
    root: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> tuple[Parameter, ...]:
    """Finds the value of every parameter.

    Args:
        parameters: Name → source, as in the settings.
        reserved: Files that are no parameter, whatever links lead there.
        root: Where the file system begins. Commands run on this machine whatever it is.
        environment: The agent's own when None.

    Raises:
        DeviceError: At least one has no usable value; all of those are named.
    """
    found = examine(parameters, root=root, environment=environment, reserved=reserved)
    failures = [result for result in found if isinstance(result, Unusable)]
    if failures:
        raise unusable(failures)
    return tuple(result for result in found if isinstance(result, Parameter))


def finder(
    parameters: Mapping[str, Source],
    reserved: Reserved,
    *,
    runs_programs: bool = True,
) -> Callable[[str], str | None]:
    """Returns what finds the value of a parameter by its name, read each time; None for an unknown name.

    It raises ``DeviceError`` where there is no usable value, or, without ``runs_programs``, where one would be run.
    """

    def find(name: str) -> str | None:
        if name not in parameters:
            return None
        if not runs_programs and any(
            isinstance(candidate, FromCommand) for candidate in _candidates(parameters[name])
        ):
            raise DeviceError(
                f"{{{name}}} comes from a program, which the agent does not run for each reading.",
                remedy=f"Also use {{{name}}} in the topic of the source `socket`: the program is then run at the "
                "start.",
                code="topic-invalid",
            )
        (found,) = resolve({name: parameters[name]}, reserved=reserved)
        return found.value

    return find


def unusable(failures: list[Unusable]) -> DeviceError:
    """Returns the one error that names every parameter without a value, and why."""
    failed = [f"{parameter.name}: {'; '.join(parameter.reasons)}" for parameter in failures]
    count = (
        "A template parameter has"
        if len(failed) == 1
        else f"{len(failed)} template parameters have"
    )
    return DeviceError(
        f"{count} no usable value. {' | '.join(failed)}",
        remedy="Choose another source or a literal under provisioning.parameters,"
        " then check with fleet-agent parameters.",
        code="parameter-missing",
    )


def examine(
    parameters: Mapping[str, Source],
    *,
    reserved: Reserved,
    root: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> tuple[Parameter | Unusable, ...]:
    """Looks at every parameter, in the order given; arguments as for ``resolve``."""
    machine = _Machine(root, os.environ if environment is None else environment, reserved)
    return tuple(_parameter(name, source, machine) for name, source in parameters.items())


def _parameter(name: str, source: Source, machine: _Machine) -> Parameter | Unusable:
    try:
        parameter_name(name)
    except WrongValueError as error:
        return Unusable(name, (error.problem,))
    reasons: list[str] = []
    for candidate in _candidates(source):
        try:
            found = _usable(candidate, machine)
        except NothingFoundError as error:
            reasons.append(str(error))
        else:
            return Parameter(name, found.text, found.source, found.warnings)
    return Unusable(name, tuple(reasons))


def _candidates(source: Source) -> list[Source]:
    if not isinstance(source, FirstOf):
        return [source]
    return [candidate for inner in source.first_of for candidate in _candidates(inner)]


def _usable(source: Source, machine: _Machine) -> Finding:
    found = _read(source, machine)
    if not isinstance(source, str) and is_placeholder(found.text):
        problem = f'has the placeholder "{shown(found.text)}"' if found.text else "is empty"
        raise NothingFoundError(f"{found.source} {problem}")
    try:
        parameter_value(found.text)
    except WrongValueError as error:
        raise NothingFoundError(f"{found.source} {error.problem}") from error
    return found


def _read(source: Source, machine: _Machine) -> Finding:  # noqa: PLR0911 - one line a kind of source
    match source:
        case str():
            return Finding(source, "literal")
        case DeviceTree(device_tree=name):
            return readers.device_tree(name, machine.root)
        case Dmi(dmi=field):
            return readers.dmi(field, machine.root)
        case FromFile(file=reference):
            return readers.text_file(
                reference, machine.root, machine.environment, machine.reserved
            )
        case FromEnvironment(env=name):
            return readers.environment_variable(name, machine.environment)
        case FromCommand():
            return _command(source)
        case Mac(mac=interface):
            return _mac(interface, machine)
        case MachineId():
            return _machine_id(machine)
        case FirstOf():  # taken apart by _candidates
            raise NothingFoundError("first_of is empty")


# What few devices ask for is imported when it is: subprocess and hmac are not free.


def _command(source: FromCommand) -> Finding:
    from fleet_agent.device.command import command

    return command(source.command, source.timeout)


def _mac(interface: str, machine: _Machine) -> Finding:
    from fleet_agent.device.mac import mac

    return mac(interface, machine.root)


def _machine_id(machine: _Machine) -> Finding:
    from fleet_agent.device.machine_id import machine_id

    return machine_id(machine.root)
