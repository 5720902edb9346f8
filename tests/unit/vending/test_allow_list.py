"""Whose programs may have which role aliases' credentials."""

import os

import pytest

from fleet_agent.config.credentials import RoleAlias
from fleet_agent.errors import DeviceError, RefusedError, UsageError
from fleet_agent.vending.allow_list import AllowList

OTHER = 54321


def test_a_user_that_is_not_there_is_a_problem_and_stops_nobody_else() -> None:
    found = AllowList({"logs": RoleAlias(allow=("user:no-such-user", f"user:{OTHER}"))})
    assert found.problems == ["there is no user no-such-user"]
    assert found.alias(OTHER, "logs") == "logs"


def test_the_agents_own_user_and_root_may_and_everybody_with_a_star() -> None:
    found = AllowList({"logs": RoleAlias(), "all": RoleAlias(allow=("user:*",))})
    for user in (0, os.geteuid()):
        assert found.alias(user, "logs") == "logs"
    assert found.alias(OTHER, "") == "all"
    with pytest.raises(RefusedError, match="may not get"):
        found.alias(OTHER, "logs")
    with pytest.raises(UsageError, match="Several"):
        found.alias(0, "")
    with pytest.raises(DeviceError, match="no role alias"):
        found.alias(0, "x")


def test_without_any_role_alias_nobody_has_one() -> None:
    with pytest.raises(RefusedError):
        AllowList({}).alias(OTHER, "")
