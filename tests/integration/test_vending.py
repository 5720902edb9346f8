"""The keeper of credentials against the sandbox, with a clock that is put forward by hours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.config.credentials import Credentials, RoleAlias
from fleet_agent.config.settings import Settings
from fleet_agent.errors import UnreachableError
from fleet_agent.health import table
from fleet_agent.health.status import Health
from fleet_agent.identity.configured import in_service, open_store
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.vending.alias import Result
from fleet_agent.vending.cache import CredentialsCache
from fleet_agent.vending.formats import AwsCredentials
from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox
from support.agent import Agent
from support.clock import FakeClock
from support.fleets import Fleet, make_fleet
from support.vending import Alias, allow, make_alias


@pytest.fixture(scope="module")
def own(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return make_fleet(sandbox, tmp_path_factory.mktemp("vending"))


@pytest.fixture(scope="module")
def alias(own: Fleet) -> Alias:
    made = make_alias(own.sandbox)
    allow(own, made.name)
    return made


@pytest.fixture(scope="module")
def settings(own: Fleet, alias: Alias, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    agent, sandbox = Agent(own, tmp_path_factory.mktemp("device")), own.sandbox
    assert agent.provision().status == 0
    return Settings(
        endpoint=sandbox.endpoint,
        port=sandbox.mqtt_port,
        ca_file=str(sandbox.ca_file),
        state_dir=str(agent.state_dir),
        proxy="none",
        credentials=Credentials(
            endpoint=sandbox.endpoint,
            port=sandbox.credentials_port,
            aliases={alias.name: RoleAlias()},
        ),
    )


class Keeper:
    """A vendor on a clock of the test's."""

    def __init__(self, settings: Settings, alias: Alias, folder: Path) -> None:
        assert settings.credentials
        self.clock = FakeClock()
        self.health = Health(folder, self.clock)
        self.mailbox = Mailbox(self.clock)
        store = open_store(settings)
        self.cache = CredentialsCache(
            settings,
            settings.credentials,
            lambda: in_service(store),
            self.mailbox,
            self.clock,
            self.health,
        )
        self._alias = alias

    def ask(self) -> Result:
        """What a program gets."""
        got: list[Result] = []
        self.cache.get(self._alias.name, got.append)
        while not got:
            self.turn()
        return got[0]

    def turn(self) -> None:
        """Takes one event, and act on deadlines."""
        event = self.mailbox.wait(self.clock.monotonic() + 30)
        assert isinstance(event, Ready), "nothing came"
        event.act()

    def good(self) -> AwsCredentials:
        found = self.ask()
        assert isinstance(found, AwsCredentials), found
        return found


@pytest.fixture
def keeper(
    settings: Settings, alias: Alias, tmp_path: Path, faults: FaultClient
) -> Iterator[Keeper]:
    assert faults.listed() == []
    made = Keeper(settings, alias, tmp_path)
    yield made
    made.cache.close()


def requests(faults: FaultClient) -> int:
    return int(faults.calls()["operations"]["credentials"]["requests"])


def test_aws_is_away_for_an_hour(keeper: Keeper, faults: FaultClient) -> None:
    first = keeper.good()
    faults.add("credentials", "close-before", calls="every")
    for minutes in (10, 20, 15, 10):  # 55 of 60
        keeper.clock.go(minutes * 60)
        keeper.cache.act()
        assert keeper.good() is first
    # Renewing was tried, and is a problem by now.
    while not keeper.health.has(table.CREDENTIALS_FAILED, keeper._alias.name):
        keeper.turn()
    keeper.clock.go(6 * 60)
    assert isinstance(keeper.ask(), UnreachableError)
    faults.clear()
    keeper.clock.go(61)
    second = keeper.good()
    assert second is not first
    assert not keeper.health.has(table.CREDENTIALS_FAILED, keeper._alias.name)


def test_what_is_used_is_renewed_before_its_end_and_what_is_not_is_left(
    keeper: Keeper, faults: FaultClient
) -> None:
    first = keeper.good()
    keeper.clock.go(41 * 60)
    keeper.cache.act()
    assert requests(faults) == 1  # nobody has used them since
    assert keeper.good() is first  # the one who does is not kept waiting
    keeper.turn()
    assert requests(faults) == 2
    assert keeper.good() is not first


def test_a_clock_that_is_off_is_a_problem_and_no_reason_to_ask_all_the_time(
    keeper: Keeper, faults: FaultClient
) -> None:
    # The fake clock is years away from the sandbox's.
    first = keeper.good()
    assert keeper.health.has(table.CREDENTIALS_CLOCK)
    assert keeper.good() is first
    assert requests(faults) == 1
