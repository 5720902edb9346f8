"""Ownership tokens that were used: what the next RegisterThing with one meets."""

import weakref
from typing import Any

from iot_sandbox.switches import Switches


class OwnershipTokens:
    """Remembers the outcome of each token."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        # The session that registered with it is remembered by a number: it may have ended, and another taken its place.
        self._registered: dict[str, weakref.ref[Any]] = {}
        self._refused: dict[str, str] = {}

    def registered(self, token: str, session: Any) -> None:  # noqa: ANN401  ministack's own
        """Remembers that a certificate was registered with it."""
        self._registered.setdefault(token, weakref.ref(session))

    def refused(self, token: str | None, situation: str | None) -> None:
        """Remembers how RegisterThing with it was refused."""
        if token and situation in ("parameter-missing", "hook-denies"):
            self._refused[token] = (
                "token-after-refusal" if situation == "parameter-missing" else "token-after-denial"
            )

    def has_registered(self, token: str | None) -> bool:
        """Whether a certificate was registered with it."""
        return token in self._registered

    def refusal(
        self,
        token: str | None,
        session: Any,  # noqa: ANN401  ministack's own
    ) -> tuple[int, str | None] | None:
        """Returns how the next RegisterThing with it is refused; None where it is not."""
        if token is None:
            return None
        if token in self._registered:
            is_same = self._registered[token]() is session
            name = "token-twice" if is_same else "token-twice-other-session"
            return self._switches.refusal(name)
        name = self._refused.get(token, "")
        return self._switches.refusal(name) if name else None
