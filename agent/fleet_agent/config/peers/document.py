"""A peer's configuration as leaves with dotted keys, of which some are taken and the others reported."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fleet_agent import foreign
from fleet_agent.record import record

_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\})", re.ASCII)
_NOTHING = "null"  # a parameter without a value: told, not sent
# What unedited templates have where a value belongs.
_BLANKS = ("<replace_with", "[REPLACE")
_OFF = ("false", "no", "off")


@dataclasses.dataclass(frozen=True)
class Left:
    """A key of the peer's that ours has no equivalent for, and what to do instead; never its value."""

    key: str
    instead: str


@record
class Imported:
    """The result of translating a peer's configuration.

    Args:
        peer: Its name, for people.
        settings: As our file has it.
        left: What has no equivalent.
        notes: What was translated and should be looked at.
    """

    peer: str
    settings: Mapping[str, Any]
    left: tuple[Left, ...]
    notes: tuple[str, ...] = ()


class Document:
    """Leaves by dotted key. A section that is switched off, and what is empty, is not there at all."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        every = dict(_leaves(document, ()))
        self._leaves = {leaf: value for leaf, value in every.items() if not _is_blank(value)}
        self._without_value = {leaf for leaf, value in every.items() if value is None}

    def take(self, *keys: str) -> Any:  # noqa: ANN401 - whatever the peer's file holds
        """Takes the first of these that is there, and forgets the others: names of one thing."""
        found = [self._leaves.pop(tuple(key.split("/")), None) for key in keys]
        return next((each for each in found if each is not None), None)

    def take_text(self, *keys: str) -> str | None:
        """Takes a value as text: numbers and the like as they would be written."""
        value = self.take(*keys)
        return None if value is None else _text(value)

    def take_parameters(self, *keys: str) -> dict[str, str]:
        """Takes template parameters, a mapping or its JSON text; anything else stays, to be reported."""
        found: dict[str, str] = {}
        for path in (tuple(key.split("/")) for key in keys):
            for leaf in self._without_value:
                if leaf[: len(path)] == path and leaf != path:
                    self._leaves[leaf] = None
            below = [leaf for leaf in self._leaves if leaf[: len(path)] == path and leaf != path]
            section = {".".join(leaf[len(path) :]): self._leaves.pop(leaf) for leaf in below}
            with contextlib.suppress(ValueError, TypeError):
                parsed = foreign.read(self._leaves.get(path, "null"), number=str)
                if isinstance(parsed, Mapping):
                    section |= parsed
                    del self._leaves[path]
            for name, value in section.items():
                if value is None:
                    self.put_back("/".join((*path, name)), _NOTHING)
                else:
                    found[name] = _text(value)
        return found

    def take_proxy(self, *keys: str) -> str | None:
        """Takes a proxy's address, without a user and password in it, which are reported."""
        for key in keys:
            found = self.take_text(key)
            if found and "@" in found:
                self.put_back(key, found)
                scheme, _, rest = found.partition("://")
                return f"{scheme}://{rest.rpartition('@')[2]}"
            if found:
                return found
        return None

    def has(self, key: str) -> bool:
        """Whether a leaf is there and not taken."""
        return tuple(key.split("/")) in self._leaves

    def put_back(self, key: str, value: object) -> None:
        """Returns what was taken and is no use: it is reported as left."""
        self._leaves[tuple(key.split("/"))] = value

    def left(self, reasons: Mapping[str, str]) -> tuple[Left, ...]:
        """The leaves that were not taken.

        Args:
            reasons: Beginning of a key → what to do instead; leaves below it are reported together.
        """
        found: dict[str, str] = {}
        for leaf, value in self._leaves.items():
            if value is _NOTHING:
                found[".".join(leaf)] = "has no value (null): set one, or remove the key"
                continue
            begins = [tuple(key.split("/")) for key in reasons]
            path = max(
                (prefix for prefix in begins if leaf[: len(prefix)] == prefix),
                key=len,
                default=leaf,
            )
            found[".".join(path)] = reasons.get("/".join(path), "has no equivalent")
        return tuple(Left(key, instead) for key, instead in found.items())


def _leaves(
    node: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    if str(node.get("enabled")).lower() in _OFF:
        return
    for key, value in node.items():
        here = (*path, str(key))
        if isinstance(value, Mapping):
            yield from _leaves(value, here)
        else:
            yield here, value


def unfilled_notes(settings: Mapping[str, Any], at: str = "") -> tuple[str, ...]:
    """Lists every value that contains a shell variable: it is not expanded here."""
    notes: list[str] = []
    for key, value in settings.items():
        name = f"{at}{key}"
        if isinstance(value, Mapping):
            notes += unfilled_notes(value, f"{name}.")
        elif isinstance(value, str) and (found := _VARIABLE.search(value)):
            notes.append(
                f"{name} contains a variable ({found[0]}), which was copied as it is: replace it by its value"
            )
    return tuple(notes)


def _is_blank(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, str) and value.startswith(_BLANKS))


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | list) else str(value)


IDENTITY_NOTE = (
    "identity is the certificate that the other agent uses: let only one of the two connect, because AWS IoT ends the "
    "older session of a client id"
)


def identity(
    certificate: str | None, private_key: str | None, thing_name: str | None
) -> dict[str, str | None] | None:
    """The section ``identity`` of a certificate that a peer uses; a key that has no name here is missing in it."""
    if certificate is None:
        return None
    return {
        "certificate": certificate.removeprefix("file://"),
        "private_key": private_key and private_key.removeprefix("file://"),
        "thing_name": thing_name,
    }


NO_PROVISIONING = "it has no fleet provisioning: add the sections claim and provisioning"


def method_notes(method: str) -> tuple[str, ...]:
    """Says what the better method needs, when the peer's is the other one."""
    if method == "csr":
        return ()
    words = (
        "provisioning.method: keys, as the other agent does. With csr the key never leaves the device; "
        "the claim's policy must then allow $aws/certificates/create-from-csr/*"
    )
    return (words,)


def literal_notes(found: Mapping[str, str]) -> tuple[str, ...]:
    """Warns of serial numbers written out: an image would give every device the same."""
    return tuple(
        f"provisioning.parameters.{name} is a fixed value: in an image, every device would have the same. "
        "Use a source instead, such as {first_of: [{device_tree: serial-number}, {dmi: product_serial}]}"
        for name in found
        if name.lower() in {"serialnumber", "serial", "deviceid", "thingname", "macaddress"}
    )


def without_nothing(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings without what is None or empty, all the way down."""
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        inner = without_nothing(value) if isinstance(value, Mapping) else value
        if inner not in (None, {}, []):
            kept[key] = inner
    return kept
