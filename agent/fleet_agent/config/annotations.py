"""Reading the types and annotations of ``settings``, for the loader, the schema and the reference."""

import dataclasses
import types
import typing
from typing import Annotated, Any, TypeVar, Union

T = TypeVar("T")
Meta = tuple[object, ...]


def hints(cls: type) -> dict[str, Any]:
    """Returns a settings class's keys with their annotated types, in the order they are written."""
    found = typing.get_type_hints(cls, include_extras=True)
    return {field.name: found[field.name] for field in dataclasses.fields(cls)}


def unwrap(kind: Any) -> tuple[Any, Meta]:  # noqa: ANN401 - a type expression has no better type
    """Splits ``Annotated[kind, …]`` into the kind and its annotations."""
    if typing.get_origin(kind) is Annotated:
        kind, *meta = typing.get_args(kind)
        return kind, tuple(meta)
    return kind, ()


def annotate(kind: Any, meta: Meta) -> Any:  # noqa: ANN401 - a type expression
    """Puts together again what ``unwrap`` took apart."""
    return Annotated[(kind, *meta)] if meta else kind


def annotation(meta: Meta, cls: type[T]) -> T | None:
    """Returns the annotation of one class, None when there is none."""
    return next((found for found in meta if isinstance(found, cls)), None)


def is_union(kind: Any) -> bool:  # noqa: ANN401 - a type expression
    """Returns whether a type is ``X | Y``."""
    return typing.get_origin(kind) in (Union, types.UnionType)


def alternatives(kind: Any) -> tuple[list[Any], bool]:  # noqa: ANN401 - a type expression
    """Splits a union into its members, and whether None is one of them; any other type is one."""
    if not is_union(kind):
        return [kind], False
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    return members, len(members) < len(typing.get_args(kind))


def required(cls: type) -> list[str]:
    """Returns the keys of a settings class that have no default."""
    return [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def choices(members: list[Any]) -> dict[str, type]:
    """Returns the settings classes of a union by the key that identifies each: the required one."""
    classes = [
        member
        for member in members
        if isinstance(member, type) and dataclasses.is_dataclass(member)
    ]
    return {required(member)[0]: member for member in classes}
