"""Where an identity is at home, and which settings hold there."""

import dataclasses
from typing import Any

import pytest

from fleet_agent.config.move import Destination, Move
from fleet_agent.config.provisioning import Claim, Provisioning
from fleet_agent.config.settings import Settings
from fleet_agent.credentials import records
from fleet_agent.credentials.model import Generation, Home
from fleet_agent.errors import DeviceError
from fleet_agent.identity import home, move
from support.walks import ATTEMPT
from unit.identity.test_due import CREDENTIAL

CLAIM = Claim(certificate="here.pem", private_key="here.key")
THERE = Destination(
    endpoint="b.example",
    port=443,
    ca_file="b.pem",
    template="fleet-b",
    claim=Claim(certificate="there.pem", private_key="there.key"),
)
SETTINGS = Settings(
    endpoint="a.example",
    claim=CLAIM,
    provisioning=Provisioning(template="fleet-a"),
    move=Move(allowed={"there": THERE}),
)
MOVED = dataclasses.replace(
    CREDENTIAL,
    endpoint="b.example",
    template="fleet-b",
    home=Home(name="there", port=8443, ca_file="old.pem"),
)


def facts(settings: Settings) -> tuple[object, ...]:
    provisioning, claim = settings.provisioning, settings.claim
    assert provisioning
    assert claim
    found = settings.endpoint, settings.port, settings.ca_file, provisioning.template
    return (*found, claim.certificate)


def test_one_that_was_never_moved_is_where_the_configuration_says() -> None:
    assert home.at_home(SETTINGS, None) is SETTINGS
    assert home.at_home(SETTINGS, dataclasses.replace(CREDENTIAL, endpoint="x")) is SETTINGS


def test_a_destination_that_is_still_named_says_the_rest() -> None:
    found = home.at_home(SETTINGS, MOVED)
    assert facts(found) == ("b.example", 443, "b.pem", "fleet-b", "there.pem")
    assert home.at_home(found, MOVED) == found


def test_one_that_is_forgotten_is_in_the_generation() -> None:
    found = home.at_home(dataclasses.replace(SETTINGS, move=Move()), MOVED)
    assert facts(found) == ("b.example", 8443, "old.pem", "fleet-b", "here.pem")


def test_a_configuration_that_moved_along_holds_again() -> None:
    new = dataclasses.replace(SETTINGS, endpoint="b.example", move=Move())
    assert home.at_home(new, MOVED) is new


def test_two_endpoints_that_differ_by_their_port_alone() -> None:
    near = dataclasses.replace(THERE, endpoint="a.example", port=8884)
    settings = dataclasses.replace(SETTINGS, move=Move(allowed={"near": near}))
    assert not home.is_there(settings, "near", CREDENTIAL)
    moved = dataclasses.replace(
        CREDENTIAL, home=Home(name="near", port=8884, ca_file=None), template="fleet-b"
    )
    assert home.at_home(settings, moved).port == 8884
    assert home.is_there(settings, "near", moved)


def test_only_what_is_named_is_allowed() -> None:
    with pytest.raises(DeviceError, match="elsewhere") as caught:
        home.destination(SETTINGS, "elsewhere")
    assert caught.value.code == "move-not-allowed"
    assert "there" in caught.value.remedy


def test_a_move_that_was_begun_counts_while_it_is_allowed() -> None:
    attempt = dataclasses.replace(ATTEMPT, endpoint="b.example", home=MOVED.home)
    found = Generation(number=2, attempt=attempt)
    assert move.begun(SETTINGS, found) == "there"
    assert move.begun(dataclasses.replace(SETTINGS, move=Move()), found) is None
    assert move.begun(SETTINGS, Generation(number=2, attempt=ATTEMPT)) is None
    assert move.begun(SETTINGS, None) is None


def test_the_record_of_an_attempt_keeps_its_home() -> None:
    attempt = dataclasses.replace(ATTEMPT, home=MOVED.home)
    assert records.load_attempt(records.dump_attempt(attempt)) == attempt
    older = records.dump_attempt(ATTEMPT)
    del older["home"]
    assert records.load_attempt(older).home is None
    broken: tuple[Any, ...] = ({}, [], "there", {"name": 1, "port": 1, "ca_file": None})
    for wrong in broken:
        with pytest.raises((KeyError, TypeError)):
            records.load_attempt({**older, "home": wrong})
