"""Whose programs may have which role aliases' credentials: the allow-list, for users as the kernel names them."""

import os
from collections.abc import Mapping

from fleet_agent.config.credentials import RoleAlias
from fleet_agent.errors import DeviceError, RefusedError, UsageError
from fleet_agent.local_clients import users

UNKNOWN = "role-alias-unknown"
_PREFIX = "user:"


class AllowList:
    """The settings' allow-list on this device; ``problems``: what is wrong with it, a sentence each.

    Root and the agent's own user are on it: what the credentials are bought with is theirs.
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
            self.problems.append("the unit's PrivateUsers=yes hides who asks")

    def alias(self, user: int, wanted: str) -> str:
        """The role alias that a user's program means by ``wanted``; empty: the only one that it may have.

        Raises:
            DeviceError: There is no such role alias here.
            RefusedError: The user may not have it.
            UsageError: It must say which.
        """
        own = [name for name, allowed in self._allowed.items() if allowed & {user, None}]
        if not wanted:
            if len(own) == 1:
                return own[0]
            if own:
                raise UsageError(
                    f"Several role aliases are here for user {user}: {', '.join(own)}.",
                    remedy="Name one: --role-alias NAME",
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
            f"The agent cannot see who asks for the credentials of the role alias {alias}: the unit has "
            "PrivateUsers=yes.",
            remedy="Copy /usr/share/fleet-agent/examples/systemd/credentials.conf into "
            "/etc/systemd/system/fleet-agent.service.d/; then systemctl daemon-reload, and restart fleet-agent",
            code="user-hidden",
        )
    return RefusedError(
        f"User {user} may not have the credentials of the role alias {alias}.",
        remedy=f"Allow it: credentials: {{aliases: {{{alias}: {{allow: [user:{user}]}}}}}}; "
        "then: systemctl reload fleet-agent",
        code="user-not-allowed",
    )
