"""The file format as JSON Schema, for editors: from the same types and annotations as the loader.

It accepts every file that the loader accepts by itself. The loader knows more: the limits of
durations, and the exact rules of topics, host names and programs.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Literal

from fleet_agent.config.annotations import Meta, alternatives, annotation, hints, required, unwrap
from fleet_agent.config.settings import Settings
from fleet_agent.config.shape import Doc, Duration, Items, Keys, Range, Size, Text
from fleet_agent.config.units import DURATION_PATTERN, SHARE_PATTERN, SIZE_PATTERN
from fleet_agent.config.write import plain

Schema = dict[str, Any]

_BASES: Mapping[type, str] = {bool: "boolean", int: "integer", str: "string"}


def json_schema() -> Schema:
    """Returns the JSON Schema, draft 2020-12, of a complete configuration."""
    definitions: dict[str, Schema] = {}
    _section(Settings, definitions)
    root = definitions.pop(Settings.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleet-agent configuration",
        **root,
        "$defs": definitions,
    }


def _section(cls: type, definitions: dict[str, Schema]) -> Schema:
    """Returns a reference to a section; by name, as ``first_of`` holds sources again."""
    if cls.__name__ not in definitions:
        definitions[cls.__name__] = {}  # stands for it while its keys are looked at
        properties = {
            field.name: _key(cls, field, definitions) for field in dataclasses.fields(cls)
        }
        definitions[cls.__name__] = {
            "type": "object",
            "description": (cls.__doc__ or "").replace("``", "`"),
            "properties": properties,
            "required": required(cls),
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _key(cls: type, field: "dataclasses.Field[Any]", definitions: dict[str, Schema]) -> Schema:
    annotated = hints(cls)[field.name]
    kind, meta = unwrap(annotated)
    schema = _value(kind, meta, definitions)
    if doc := annotation(meta, Doc):
        schema["description"] = doc.text
    if field.default is not dataclasses.MISSING:
        schema["default"] = plain(annotated, field.default)
    return schema


def _value(kind: Any, meta: Meta, definitions: dict[str, Schema]) -> Schema:  # noqa: ANN401
    members, nullable = alternatives(kind)
    found = [_member(member, meta, definitions) for member in members]
    if nullable:
        found.append({"type": "null"})
    return found[0] if len(found) == 1 else {"anyOf": found}


def _member(annotated: Any, outer: Meta, definitions: dict[str, Schema]) -> Schema:  # noqa: ANN401
    kind, inner = unwrap(annotated)
    meta = inner or outer
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _section(typing.cast("type", kind), definitions)
    if origin is Literal:
        return {"enum": list(typing.get_args(kind))}
    if origin is tuple:
        return _list(typing.get_args(kind)[0], meta, definitions)
    if origin is not None:
        return _mapping(typing.get_args(kind)[1], meta, definitions)
    return _scalar(kind, meta)


def _list(kind: Any, meta: Meta, definitions: dict[str, Schema]) -> Schema:  # noqa: ANN401
    schema: Schema = {"type": "array", "items": _value(*unwrap(kind), definitions)}
    if limits := annotation(meta, Items):
        schema |= {"minItems": limits.low, "maxItems": limits.high}
    return schema


def _mapping(kind: Any, meta: Meta, definitions: dict[str, Schema]) -> Schema:  # noqa: ANN401
    schema = {"type": "object", "additionalProperties": _value(*unwrap(kind), definitions)}
    if rules := annotation(meta, Keys):
        schema |= {"propertyNames": {"minLength": 1, "maxLength": rules.text.length}}
    return schema


def _scalar(kind: type, meta: Meta) -> Schema:
    if duration := annotation(meta, Duration):
        pattern = f"{SHARE_PATTERN}|{DURATION_PATTERN}" if duration.share else DURATION_PATTERN
        return {"type": "string", "pattern": pattern}
    if annotation(meta, Size):
        return {"type": "string", "pattern": SIZE_PATTERN}
    schema: Schema = {"type": _BASES[kind]}
    if limits := annotation(meta, Range):
        schema |= {"minimum": limits.low, "maximum": limits.high}
    if rules := annotation(meta, Text):
        schema |= {"pattern": rules.pattern} if rules.pattern else {}
        schema |= {"maxLength": rules.length} if rules.length else {}
    return schema
