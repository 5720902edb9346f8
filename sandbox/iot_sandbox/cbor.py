"""The CBOR (RFC 8949) that devices and AWS IoT Commands exchange: definite lengths, no tags. Pure."""

import struct
from collections.abc import Callable
from typing import Any

# Major types.
UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, OTHER = range(8)
_SIMPLE = {20: False, 21: True, 22: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_SHORTEST_ARGUMENT = 24
_DEEPEST = 16


def loads(data: bytes) -> Any:  # noqa: ANN401  whatever it is
    """Reads one value.

    Raises:
        ValueError: it is not CBOR, or more than is read here, or something follows.
    """
    try:
        value, end = _read(data, 0, _DEEPEST)
    except (IndexError, struct.error, TypeError) as error:
        raise ValueError(f"no CBOR: {error}") from error
    if end != len(data):
        raise ValueError("something follows the value")
    return value


def dumps(value: object) -> bytes:  # noqa: PLR0911  one for each kind
    """Writes a value: maps, lists, text, bytes, numbers, booleans, None."""
    match value:
        case None | bool():
            simple = next(number for number, each in _SIMPLE.items() if each is value)
            return bytes([OTHER << 5 | simple])
        case int():
            return _head(UNSIGNED, value) if value >= 0 else _head(NEGATIVE, -1 - value)
        case float():
            return bytes([OTHER << 5 | 27]) + struct.pack(">d", value)
        case bytes():
            return _head(BYTES, len(value)) + value
        case str():
            return _head(TEXT, len(value.encode())) + value.encode()
        case dict():
            inner = b"".join(dumps(key) + dumps(each) for key, each in value.items())
            return _head(MAP, len(value)) + inner
        case list():
            return _head(ARRAY, len(value)) + b"".join(map(dumps, value))
        case _:
            raise TypeError(f"no CBOR for {type(value).__name__}")


def _head(major: int, argument: int) -> bytes:
    if argument < _SHORTEST_ARGUMENT:
        return bytes([major << 5 | argument])
    power = next(power for power in range(4) if argument < 1 << (8 << power))
    return bytes([major << 5 | _SHORTEST_ARGUMENT + power]) + argument.to_bytes(1 << power)


def _read(data: bytes, at: int, depth: int) -> tuple[Any, int]:  # noqa: PLR0911  likewise
    if depth == 0:
        raise ValueError("nested too deep")
    major, short = divmod(data[at], 32)
    if major == OTHER and short in _FLOATS:
        form = _FLOATS[short]
        return struct.unpack_from(form, data, at + 1)[0], at + 1 + struct.calcsize(form)
    argument, at = _argument(data, at, short)
    match major:
        case 0:
            return argument, at
        case 1:
            return -1 - argument, at
        case 2 | 3:
            end = at + argument
            if end > len(data):
                raise ValueError("cut short")
            return (data[at:end] if major == BYTES else data[at:end].decode()), end
        case 4:
            return _items(data, at, argument, lambda where: _read(data, where, depth - 1))
        case 5:
            flat, at = _items(data, at, 2 * argument, lambda where: _read(data, where, depth - 1))
            return dict(zip(flat[::2], flat[1::2], strict=True)), at
        case _ if major == OTHER and argument in _SIMPLE:
            return _SIMPLE[argument], at
        case _:
            raise ValueError(f"type {major} is not read here")


def _items(
    data: bytes, at: int, count: int, read: Callable[[int], tuple[Any, int]]
) -> tuple[list[Any], int]:
    if count > len(data):
        raise ValueError("cut short")
    found = []
    for _ in range(count):
        value, at = read(at)
        found.append(value)
    return found, at


def _argument(data: bytes, at: int, short: int) -> tuple[int, int]:
    if short < _SHORTEST_ARGUMENT:
        return short, at + 1
    if short > 27:  # noqa: PLR2004  lengths that are not said beforehand
        raise ValueError("a length that is not given")
    size = 1 << short - _SHORTEST_ARGUMENT
    if at + 1 + size > len(data):
        raise ValueError("cut short")
    return int.from_bytes(data[at + 1 : at + 1 + size]), at + 1 + size
