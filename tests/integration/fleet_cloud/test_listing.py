"""Many things: listed by pages, without a question a thing, of fleet indexing where the account has it."""

from collections.abc import Iterator
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.companion import FleetCloud, answer

MANY = 260
NAMED = ("--name", "gulls")


@pytest.fixture(scope="module")
def gulls(sandbox: Sandbox) -> Iterator[Any]:
    """Many things of a fleet, and one that is called as if it were; gives the client."""
    iot = aws_client(sandbox, "iot")
    for number in range(MANY):
        attributes = {"attributes": {"serialNumber": str(number)}}
        iot.create_thing(thingName=f"gulls-{number}", attributePayload=attributes)
    iot.create_thing(thingName="gulls-other")
    yield iot
    for name in [*(f"gulls-{number}" for number in range(MANY)), "gulls-other"]:
        iot.delete_thing(thingName=name)


@pytest.fixture
def indexed(gulls: Any) -> Iterator[None]:
    """Fleet indexing with connectivity, for as long as the test lasts."""
    on = {"thingIndexingMode": "REGISTRY", "thingConnectivityIndexingMode": "STATUS"}
    off = dict.fromkeys(on, "OFF")
    gulls.update_indexing_configuration(thingIndexingConfiguration=on)
    yield
    gulls.update_indexing_configuration(thingIndexingConfiguration=off)


def listed(fleet_cloud: FleetCloud, *words: str) -> tuple[dict[str, Any], list[str]]:
    """Gives the answer of ``devices list``, and the commands that it made."""
    done = fleet_cloud("devices", "list", *NAMED, *words, "--json", "--verbose")
    return answer(done), [line for line in done.stderr.splitlines() if line.startswith("+ ")]


@pytest.mark.usefixtures("gulls")
def test_many_are_listed_by_pages_of_the_registry(fleet_cloud: FleetCloud) -> None:
    found, commands = listed(fleet_cloud)
    assert found["source"] == "the registry"
    assert len(found["devices"]) == MANY
    assert {device["state"] for device in found["devices"]} == {"unknown"}
    assert not [command for command in commands if "principal" in command]
    assert len(commands) < 10


@pytest.mark.usefixtures("indexed")
def test_many_are_listed_by_the_index_where_there_is_one(fleet_cloud: FleetCloud) -> None:
    found, commands = listed(fleet_cloud)
    assert found["source"] == "AWS_Things"
    assert len(found["devices"]) == MANY
    assert {device["state"] for device in found["devices"]} == {"not connected"}
    assert not [command for command in commands if "list-things" in command]
    shown = answer(fleet_cloud("status", *NAMED, "--json", status=1))["devices"]
    assert (shown["things"], shown["connected"], shown["source"]) == (MANY, 0, "AWS_Things")


@pytest.mark.usefixtures("gulls")
def test_who_wants_the_certificates_has_each_thing_asked(fleet_cloud: FleetCloud) -> None:
    found, commands = listed(fleet_cloud, "--certificates")
    assert len(found["devices"]) == MANY
    assert {device["state"] for device in found["devices"]} == {"no certificate"}
    assert sum("list-thing-principals" in command for command in commands) == MANY + 1
