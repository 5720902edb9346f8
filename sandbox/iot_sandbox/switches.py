"""What is not known of AWS IoT: a switch each, as ``--set`` and ``--like`` turn them. Pure.

A switch is called as the fact that ``scripts/acceptance`` measures, and its position is written as that fact's answer:
so what was measured on an account turns the switches of a sandbox that is to be like it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iot_sandbox.limits import RULES

ACCEPTED = "accepted"
AT_ONCE = "at once"
HELD, NOT_HELD = "held", "not held"
EMPTY, NO_MEMBER, PLACEHOLDER = "an empty text", "no member", "the placeholder"

# A refusal by AWS: its status, and its error code where there is one.
REFUSAL = re.compile(r"(?P<status>[45][0-9]{2})(?: (?P<code>[A-Za-z]{1,64}))?")
SECONDS = re.compile(r"([1-9][0-9]?) s")

# How long a certificate is refused after its registration.
SPREADS = {AT_ONCE: 0.0, "within 10 s": 3.0, "within a minute": 20.0}


class SwitchError(ValueError):
    """A switch or a position that there is not; the text says what there is."""


@dataclass(frozen=True)
class Switch:
    """One switch.

    Attributes:
        about: what it is of.
        default: its position unless it is turned.
        positions: those that it has.
        refusal: whether any refusal is a position, too.
        seconds: whether any number of seconds is one.
    """

    about: str
    default: str
    positions: tuple[str, ...] = ()
    refusal: bool = False
    seconds: bool = False

    def takes(self, position: str) -> bool:
        """Whether it has such a position."""
        return (
            position in (self.default, *self.positions)
            or (self.refusal and REFUSAL.fullmatch(position) is not None)
            or (self.seconds and SECONDS.fullmatch(position) is not None)
        )

    @property
    def words(self) -> str:
        """Its positions, for people."""
        more = (("STATUS CODE",) if self.refusal else ()) + (("N s",) if self.seconds else ())
        named = (self.default, *self.positions, *more)
        return " | ".join(dict.fromkeys(named))


def _refused(about: str, default: str) -> Switch:
    return Switch(about, default, refusal=True)


def _token(about: str) -> Switch:
    return Switch(about, ACCEPTED, refusal=True)


_TOKEN = "400 InvalidCertificateOwnershipToken"  # noqa: S105  an answer, not a secret
_FAILED = "400 ProvisioningFailed"
_NOT_CALLED = "400 InvocationError"

SWITCHES = {
    "token-twice": _token("RegisterThing again with a token that has registered"),
    "token-twice-other-session": _token("the same on another connection"),
    "token-after-refusal": _token("RegisterThing with a token that was refused for a parameter"),
    "token-after-denial": _token("RegisterThing with a token that the hook denied"),
    "token-unknown": _refused("a token that AWS did not give", _TOKEN),
    "token-empty": _refused("an empty token", _TOKEN),
    "payload-invalid": _refused("RegisterThing with something that is no JSON", "400 InvalidPayload"),
    "template-missing": _refused("a template that is not there", "400 InvalidTemplate"),
    "template-disabled": _refused("a template that is not enabled", "400 InvalidTemplate"),
    "parameter-missing": _refused("a parameter without default, not sent", "400 InvalidParameters"),
    "thing-name-invalid": _refused("a thing name with a character it may not have", _FAILED),
    "policy-missing": _refused("a template that names a policy that is not there", _FAILED),
    "override-fail": _refused("override FAIL, and the attributes differ", _FAILED),
    "override-none": _refused("no override settings, and the attributes differ", _FAILED),
    "hook-denies": _refused("the hook says no", "403 AccessDenied"),
    "hook-raises": _refused("the hook ends with an error", _NOT_CALLED),
    "hook-slow": _refused("the hook does not answer in time", _NOT_CALLED),
    "hook-invalid": _refused("the hook answers something else", "400 InvalidResult"),
    "hook-limit": Switch("how long AWS waits for the hook", "5 s", seconds=True),
    "hook-calls": Switch("how often a hook that ends with an error is called", "1", ("2", "3")),
    "csr-invalid": _refused("something that is no CSR", "400 InvalidCertificateSigningRequest"),
    "csr-subject": Switch("the subject of a certificate made from a request", "kept", ("replaced",)),
    "device-configuration": Switch(
        "an empty device configuration in the answer", "{}", ("absent", "null")
    ),
    "half-registered": Switch(
        "what a registration leaves that fails at its policy", "nothing", ("the thing",)
    ),
    "reply-qos": Switch("the QoS of answers", "as subscribed", ("0", "1")),
    "reply-unasked": Switch(
        "answers to who has not subscribed to them", "delivered", ("not delivered",)
    ),
    "policy-spread": Switch(
        "when a new certificate may connect", AT_ONCE, tuple(SPREADS)[1:]
    ),
    "jobs-omitted": Switch(
        "what an optional parameter of a managed job template leaves that is not given",
        EMPTY, (NO_MEMBER, PLACEHOLDER),
    ),
    "connect-refused": Switch("a connect that the policy does not allow", "CONNACK 135", ("closed",)),
}  # fmt: skip


@dataclass(frozen=True)
class Switches:
    """The switches of one sandbox: those that are turned, each with its position."""

    turned: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.turned.get(name, SWITCHES[name].default)

    def refusal(self, name: str) -> tuple[int, str | None] | None:
        """Returns the status and code of a switch that stands at a refusal."""
        found = REFUSAL.fullmatch(self[name])
        return (int(found["status"]), found["code"]) if found else None

    def is_turned(self, name: str) -> bool:
        """Whether it stands elsewhere than it does by itself."""
        return self[name] != SWITCHES[name].default

    @property
    def hook_seconds(self) -> int:
        """How long a hook may take."""
        return int(self["hook-limit"].removesuffix(" s"))

    @property
    def spread_seconds(self) -> float:
        """For how long a certificate is refused that was just registered."""
        return SPREADS[self["policy-spread"]]


def positions(pairs: list[str]) -> dict[str, str]:
    """Reads ``NAME=POSITION`` pairs, of switches and of the rules of ``limits``.

    Raises:
        SwitchError: no such switch, or no such position.
    """
    found = {}
    for pair in pairs:
        name, equals, position = pair.partition("=")
        if not equals or not is_known(name):
            known = ", ".join((*SWITCHES, *RULES))
            raise SwitchError(f"{pair!r} turns no switch; write NAME=POSITION, of {known}")
        if not has(name, position):
            there = SWITCHES[name].words if name in SWITCHES else f"{HELD} | {NOT_HELD}"
            raise SwitchError(f"{name} has no position {position!r}; it has {there}")
        found[name] = position
    return found


def measured(file: Path) -> tuple[dict[str, str], list[str]]:
    """Reads what ``scripts/acceptance`` measured on an account.

    Returns:
        The positions, and in words what this sandbox has no position for.

    Raises:
        SwitchError: the file is none of its.
    """
    try:
        facts: dict[str, dict[str, Any]] = json.loads(file.read_text())["facts"]
        answers = {name: fact.get("answer") for name, fact in facts.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SwitchError(f"{file} is no result of scripts/acceptance: {error!r}") from error
    found, beyond = {}, []
    for name, answer in answers.items():
        if not is_known(name) or not isinstance(answer, str):
            continue
        if has(name, answer):
            found[name] = answer
        else:
            beyond.append(f"{name}: {answer!r} was measured, which this sandbox cannot do")
    return found, beyond


def is_known(name: str) -> bool:
    """Whether there is a switch, or a rule, of that name."""
    return name in SWITCHES or name in RULES


def has(name: str, position: str) -> bool:
    """Whether it has that position."""
    return SWITCHES[name].takes(position) if name in SWITCHES else position in (HELD, NOT_HELD)


def split(turned: Mapping[str, str]) -> tuple[Switches, frozenset[str]]:
    """Returns the switches, and the rules that are left out."""
    without = frozenset(name for name in RULES if turned.get(name) == NOT_HELD)
    return Switches({name: at for name, at in turned.items() if name in SWITCHES}), without
