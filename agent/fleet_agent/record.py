"""Values with named fields: dataclasses that share their methods.

``dataclasses`` compiles six methods for each frozen class: 13 KB and half a millisecond, a hundred times at each start
(docs/decisions/0023-records.md). Fields, defaults, ``__post_init__``, ``dataclasses.fields`` and
``dataclasses.replace`` are those of dataclasses; the methods are the ones below.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple, NoReturn, TypeVar, cast, dataclass_transform

_T = TypeVar("_T")
_described = dataclasses.dataclass(init=False, repr=False, eq=False)
_slotted = dataclasses.dataclass(slots=True, repr=False, eq=False)


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,)
)
def record(cls: type[_T]) -> type[_T]:
    """Makes a class one of frozen values, whose fields are given by name."""
    kind = cast("type[_Record]", _described(cls))
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    kind.__record__ = _Shape(
        frozenset(field.name for field in fields),
        {field.name: field.default for field in fields if field.default is not missing},
        {
            field.name: field.default_factory
            for field in fields
            if field.default_factory is not missing
        },
    )
    for name in ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"):
        setattr(kind, name, vars(_Record)[name])
    return cls


@dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))
def mutable(cls: type[_T]) -> type[_T]:
    """Makes a class one of mutable objects with slots, which are cheap to make; each equals itself alone."""
    made = _slotted(cls)
    made.__repr__ = _Record.__repr__  # type: ignore[method-assign,assignment]
    return made


class _Shape(NamedTuple):
    names: frozenset[str]
    defaults: dict[str, object]
    factories: dict[str, Callable[[], object]]


class _Record:
    """What all of them share."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[object]]]
    __record__: ClassVar[_Shape]

    def __init__(self, **values: object) -> None:
        names, defaults, factories = self.__record__
        if len(values) != len(names):
            made = {name: make() for name, make in factories.items() if name not in values}
            values = {**defaults, **made, **values}
        if values.keys() != names:
            wrong = ", ".join(sorted(values.keys() ^ names))
            raise TypeError(f"{type(self).__name__} lacks or has no such field: {wrong}")
        self.__dict__.update(values)
        check = getattr(self, "__post_init__", None)
        if check is not None:
            check()

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)
            if field.repr
        ]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self.__dataclass_fields__))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
