"""A job document → what is to be done, step by step; or why it is not for this device. Pure.

Three shapes: ``version`` and ``steps``, as AWS's managed templates have; ``operation`` and ``args``, the device
client's older one and the shortest of one's own; anything else, for the handler that takes the rest.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fleet_agent.config.orders import Jobs
from fleet_agent.orders.order import arguments, text
from fleet_agent.printable import printable
from fleet_agent.record import record

_UNFILLED = "${aws:iot:parameter:"
_SHOWN = 100  # characters
STEPS = 100


class UnfitError(ValueError):
    """The document asks for what this device does not do; the text says what."""


@record
class Step:
    """One thing to do; ``handler`` by its name, None of a command of the document's own.

    ``ignores_failure``: the next one follows all the same.
    """

    name: str
    handler: str | None
    arguments: tuple[str, ...] = ()
    payload: bytes = b""
    user: str = ""
    ignores_failure: bool = False
    shows_output: bool = True


@record
class Plan:
    """What is to be done, in order; the last of ``steps`` is the final one, where the document has one."""

    steps: tuple[Step, ...]


def leaves(document: Mapping[str, Any] | None, rules: Sequence[Mapping[str, str]]) -> bool:
    """Whether a document is one that another program takes: it has all members of one of the rules."""
    return document is not None and any(
        all(name in document and text(document[name]) == wanted for name, wanted in rule.items())
        for rule in rules
        if rule
    )


def plan(
    document: Mapping[str, Any] | None, settings: Jobs, facts: Callable[[], Mapping[str, str]]
) -> Plan:
    """Makes a plan of a document.

    Args:
        document: The job's.
        settings: Which handler does what.
        facts: What is known of this device, for conditions.

    Raises:
        UnfitError: It is not understood, or not for this device.
    """
    if document is None:
        raise UnfitError("the job document is not a JSON object, or is nested too deeply")
    if "steps" in document:
        return _steps(document, settings, facts)
    operation = document.get("operation")
    if isinstance(operation, str) and (
        handler := _mapped(settings, document.get("path"), operation)
    ):
        return Plan(steps=(_step(operation, handler, document, document),))
    if settings.handler is not None:
        return Plan(steps=(_step("document", settings.handler, document, document),))
    if isinstance(operation, str):
        raise UnfitError(f'the operation "{_shown(operation)}" is not in jobs.operations')
    raise UnfitError('the job document has neither "steps" nor an "operation" of jobs.operations')


def _steps(
    document: Mapping[str, Any], settings: Jobs, facts: Callable[[], Mapping[str, str]]
) -> Plan:
    _judge(document.get("conditions"), facts)
    entries = document["steps"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= STEPS:
        raise UnfitError(f'"steps" is not a list of 1 to {STEPS}')
    final = document.get("finalStep")
    found = [_action(entry, settings) for entry in [*entries, *([final] if final else [])]]
    return Plan(steps=tuple(found))


def _action(entry: object, settings: Jobs) -> Step:
    action = entry.get("action") if isinstance(entry, dict) else None
    if not isinstance(action, dict):
        raise UnfitError('a step has no "action"')
    given, kind = action.get("input"), action.get("type")
    name, values = _shown(action.get("name") or "step"), given if isinstance(given, dict) else {}
    if kind == "runCommand":
        return _command(name, action, values, settings)
    if kind != "runHandler":
        raise UnfitError(f'the step "{name}" has an unknown type: {_shown(kind)}')
    wanted = values.get("handler")
    if not isinstance(wanted, str) or not wanted:
        raise UnfitError(f'the step "{name}" does not name a handler')
    handler = _mapped(settings, values.get("path"), wanted)
    if handler is None:
        raise UnfitError(f'the handler "{_shown(wanted)}" is not in jobs.operations')
    return _step(name, handler, action, values)


def _mapped(settings: Jobs, path: object, wanted: str) -> str | None:
    """The handler of a step's or an operation's, by its whole path first."""
    if isinstance(path, str) and path:
        found = settings.operations.get(f"{path.rstrip('/')}/{wanted}")
        if found is not None:
            return found
    return settings.operations.get(wanted)


def _step(
    name: str, handler: str | None, action: Mapping[str, Any], values: Mapping[str, Any]
) -> Step:
    return Step(
        name=name,
        handler=handler,
        arguments=_arguments(name, values.get("args")),
        payload=json.dumps(action).encode(),
        user=_user(action),
        ignores_failure=_is_true(action.get("ignoreStepFailure"))
        or _is_number(action.get("allowStdErr")),
        shows_output=_is_true(action.get("includeStdOut", True)),
    )


def _command(
    name: str, action: Mapping[str, Any], values: Mapping[str, Any], settings: Jobs
) -> Step:
    if not settings.run_command:
        raise UnfitError(
            f'the step "{name}" runs a command, which this device allows only with jobs: {{run_command: true}}'
        )
    words = split(values.get("command"))
    if not words or any(character.isspace() for character in words[0]):
        raise UnfitError(
            f'the step "{name}" has no command: words are separated by commas, as in touch,/tmp/x'
        )
    found = _step(name, None, action, {})
    return dataclasses.replace(found, arguments=_arguments(name, list(words)))


def split(command: object) -> tuple[str, ...]:
    r"""The words of a command: separated by commas, ``\,`` being a comma; trimmed."""
    if not isinstance(command, str):
        return ()
    words, word, is_escaped = [], "", False
    for character in command:
        if is_escaped:
            word += character if character in ",\\" else f"\\{character}"
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == ",":
            words.append(word.strip())
            word = ""
        else:
            word += character
    words.append((word + "\\" * is_escaped).strip())
    return tuple(words) if any(words) else ()


def _arguments(name: str, given: object) -> tuple[str, ...]:
    found = () if given is None or _is_unfilled(given) else arguments(given)
    if found is None:
        raise UnfitError(
            f'the arguments of "{name}" are not a list of strings that a program can take'
        )
    return found


def _user(action: Mapping[str, Any]) -> str:
    """Returns the user of a step; empty if not given, which AWS writes in one of three ways."""
    given = action.get("runAsUser")
    return given.strip() if isinstance(given, str) and not _is_unfilled(given) else ""


def _judge(conditions: object, facts: Callable[[], Mapping[str, str]]) -> None:
    """Whether the job is for a device like this one.

    Raises:
        UnfitError: It is not, or that cannot be known.
    """
    if conditions is None:
        return
    if not isinstance(conditions, list):
        raise UnfitError('"conditions" is not a list')
    known = facts() if conditions else {}
    for condition in conditions:
        values = condition if isinstance(condition, dict) else {}
        key, wanted = values.get("key"), values.get("value")
        kind = values.get("type", "stringEqual")
        if not isinstance(key, str) or not isinstance(wanted, list) or kind != "stringEqual":
            raise UnfitError(f"a condition is not valid: {_shown(json.dumps(condition))}")
        if key not in known:
            names = ", ".join(sorted(known))
            raise UnfitError(f'the condition "{_shown(key)}" is unknown; known are {names}')
        if known[key] not in wanted:
            raise UnfitError(
                f'a condition is not met: {_shown(key)} is "{_shown(known[key])}" here'
            )


def _is_unfilled(given: object) -> bool:
    return isinstance(given, str) and (not given.strip() or _UNFILLED in given)


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return printable(str(value), _SHOWN)
