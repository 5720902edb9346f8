"""The allow-list: which users' programs may have the credentials of which role aliases."""

import os
from collections.abc import Mapping

from fleet_agent.config.credentials import RoleAlias
from fleet_agent.errors import DeviceError, RefusedError, UsageError
from fleet_agent.local_clients import users

UNKNOWN = "role-alias-unknown"
_PREFIX = "user:"


class AllowList:
    """The settings' allow-list, resolved on this device; ``problems``: its faults, a sentence each.

    Root and the agent's own user are always on it: they hold the private key anyway.
    """

    def __init__(self, aliases: Mapping[str, RoleAlias]) -> None:
        self.problems: list[str] = []
        own = {0, os.geteuid()}
        self._allowed: dict[str, set[int | None]] = {}
        for name, alias in aliases.items():
            allowed = self._allowed[name] = set[int | None](own)
            for entry in alias.allow:
                try:
                    allowed.add(users.number(entry.removeprefix(_PREFIX)))
                except KeyError:
                    self.problems.append(f"there is no user {entry.removeprefix(_PREFIX)}")
        named = set().union(*self._allowed.values()) if self._allowed else set()
        if named - own - {None} and not users.are_visible():
            self.problems.append("the unit's PrivateUsers=yes hides the users of programs")

    def alias(self, user: int, wanted: str) -> str:
        """Resolves the role alias that a user's program wants; empty: the only one it may have.

        Raises:
            DeviceError: The configuration has no such role alias.
            RefusedError: The user may not have it.
            UsageError: Several are possible.
        """
        own = [name for name, allowed in self._allowed.items() if allowed & {user, None}]
        if not wanted:
            if len(own) == 1:
                return own[0]
            if own:
                raise UsageError(
                    f"Several role aliases are allowed for user {user}: {', '.join(own)}.",
                    remedy="Choose one: --role-alias NAME",
                    code="role-alias-unclear",
                )
            raise _not_allowed(user, next(iter(self._allowed), "NAME"))
        if wanted not in self._allowed:
            raise DeviceError(
                f"The configuration has no role alias {wanted[:128]!r}.",
                remedy="Add it under credentials.aliases, then: systemctl reload fleet-agent",
                code=UNKNOWN,
            )
        if wanted not in own:
            raise _not_allowed(user, wanted)
        return wanted


def _not_allowed(user: int, alias: str) -> RefusedError:
    if not users.are_visible():
        return RefusedError(
            f"The agent cannot see which user requests credentials of the role alias {alias}: the unit has "
            "PrivateUsers=yes.",
            remedy="Copy /usr/share/fleet-agent/examples/systemd/credentials.conf into "
            "/etc/systemd/system/fleet-agent.service.d/; then systemctl daemon-reload, and restart fleet-agent",
            code="user-hidden",
        )
    return RefusedError(
        f"User {user} may not get the credentials of the role alias {alias}.",
        remedy=f"Allow it: credentials: {{aliases: {{{alias}: {{allow: [user:{user}]}}}}}}; "
        "then: systemctl reload fleet-agent",
        code="user-not-allowed",
    )
