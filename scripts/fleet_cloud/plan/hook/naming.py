"""Text in a provisioning template with parameters filled in, as AWS IoT does it, and whether it takes that. Pure."""

import re
from collections.abc import Iterable, Mapping

_NAME = re.compile("[a-zA-Z0-9:_-]{1,128}")
_ATTRIBUTE_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")

FUNCTIONS = frozenset({"Ref", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::Sub"})
_PLACE = re.compile(r"\$\{(!?)([^}]*)\}")


class UnresolvedError(Exception):
    """A parameter is missing, or the text is built in a way that is not known here."""


def resolve(value: object, parameters: Mapping[str, object]) -> object:
    """Returns a value of a template with its functions worked out.

    Raises:
        UnresolvedError: A parameter is missing, or a function is not known.
    """
    if isinstance(value, list):
        return [resolve(part, parameters) for part in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) != 1 or not {*value} <= FUNCTIONS:
        return {name: resolve(part, parameters) for name, part in _plain(value).items()}
    ((function, argument),) = value.items()
    try:
        return _apply(function, argument, parameters)
    except (TypeError, ValueError, IndexError) as error:
        raise UnresolvedError(f"{function} does not fit what it is given") from error


def resolved_text(value: object, parameters: Mapping[str, object]) -> str:
    """Returns a value that must be text.

    Raises:
        UnresolvedError: It is not.
    """
    found = resolve(value, parameters)
    if not isinstance(found, str) or not found:
        raise UnresolvedError("it is not text")
    return found


def fault(names: Iterable[str], attributes: Mapping[str, str]) -> str | None:
    """Returns what of a thing AWS IoT does not accept, or nothing.

    Args:
        names: Its own, its type's, its groups'.
        attributes: Its attributes.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            return f"AWS IoT takes no name {name!r}: 1 to 128 of the characters a-z A-Z 0-9 : _ -"
    for name, value in attributes.items():
        if not _ATTRIBUTE_VALUE.fullmatch(value):
            taken = "up to 800 of the characters a-z A-Z 0-9 _ . , @ / : # = [ ] -"
            return f"AWS IoT takes no attribute {name} {value!r}: {taken}"
    return None


def unknown(value: object) -> set[str]:
    """Returns the functions in a value that are not known here."""
    if isinstance(value, list):
        return {name for part in value for name in unknown(part)}
    if not isinstance(value, Mapping):
        return set()
    own = {name for name in value if str(name).startswith("Fn::")} - FUNCTIONS
    return own | {name for part in value.values() for name in unknown(part)}


def _plain(value: Mapping[str, object]) -> Mapping[str, object]:
    for name in value:
        if name.startswith("Fn::"):
            raise UnresolvedError(f"{name} is not known")
    return value


def _apply(function: str, argument: object, parameters: Mapping[str, object]) -> object:
    if function == "Ref":
        return _parameter(str(argument), parameters)
    if function == "Fn::Sub":
        text, own = argument if isinstance(argument, list) else (argument, {})
        known = {**parameters, **{name: resolve(own[name], parameters) for name in own}}
        return _PLACE.sub(lambda found: _filled(found, known), text)
    first, second = (resolve(part, parameters) for part in _pair(argument))
    if function == "Fn::Join":
        return str(first).join(str(part) for part in _list(second))
    if function == "Fn::Select":
        return _list(second)[int(str(first))]
    return str(second).split(str(first))


def _filled(found: "re.Match[str]", parameters: Mapping[str, object]) -> str:
    return "${" + found[2] + "}" if found[1] else _parameter(found[2], parameters)


def _parameter(name: str, parameters: Mapping[str, object]) -> str:
    value = parameters.get(name)
    if not isinstance(value, str):
        raise UnresolvedError(f"the parameter {name} is missing")
    return value


def _pair(argument: object) -> list[object]:
    parts = _list(argument)
    if len(parts) != 2:  # noqa: PLR2004 - what it works with, and on
        raise ValueError
    return parts


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return value
