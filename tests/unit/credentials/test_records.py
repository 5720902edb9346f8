"""Records of a generation, as they stand on the disks of devices in the field: later versions must read them."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fleet_agent.clock import Uptime
from fleet_agent.credentials import records
from fleet_agent.credentials.model import Attempt, Home, Issued, KeyName, Registration, Secret

ATTEMPT = Attempt(
    endpoint="a.example",
    template="fleet",
    method="csr",
    parameters_hash="aa",
    csr_hash="bb",
    tries=3,
    not_before=5.5,
    opened=4.5,
    origin="adopted",
    certificate_id="c0ffee",
    key_of=2,
    home=Home(name="b.example", port=443, ca_file="/ca.pem"),
)
ATTEMPT_JSON: dict[str, Any] = {
    "endpoint": "a.example", "template": "fleet", "method": "csr", "parameters_hash": "aa", "csr_hash": "bb",
    "tries": 3, "not_before": 5.5, "opened": 4.5, "origin": "adopted", "certificate_id": "c0ffee", "key_of": 2,
    "home": {"name": "b.example", "port": 443, "ca_file": "/ca.pem"},
}  # fmt: skip
UPTIME = Uptime(boot="b1", monotonic=7.5)
ISSUED = Issued(certificate_id="c0ffee", ownership_token=Secret("t"), received=9.5, uptime=UPTIME)
ISSUED_JSON: dict[str, Any] = {
    "certificate_id": "c0ffee", "ownership_token": "t", "received": 9.5, "boot": "b1", "monotonic": 7.5
}  # fmt: skip
REGISTRATION = Registration(thing_name="pump", device_configuration={"a": "1"})
REGISTRATION_JSON: dict[str, Any] = {"thing_name": "pump", "device_configuration": {"a": "1"}}
NAME = KeyName(token="fleet", label="device", is_ours=True)
NAME_JSON: dict[str, Any] = {"token": "fleet", "label": "device", "is_ours": True}


@pytest.mark.parametrize(
    ("dump", "load", "value", "text"),
    [
        (records.dump_attempt, records.load_attempt, ATTEMPT, ATTEMPT_JSON),
        (records.dump_issued, records.load_issued, ISSUED, ISSUED_JSON),
        (records.dump_registration, records.load_registration, REGISTRATION, REGISTRATION_JSON),
        (records.dump_key_name, records.load_key_name, NAME, NAME_JSON),
    ],
)
def test_what_is_written_is_this_and_is_read_again(
    dump: Callable[[Any], object], load: Callable[[Any], object], value: object, text: object
) -> None:
    assert dump(value) == text
    assert load(json.loads(json.dumps(text))) == value


def test_a_proof_has_its_time_and_how() -> None:
    written = records.dump_proven(3.5, "a session", UPTIME)
    assert written == {"proven": 3.5, "how": "a session", "boot": "b1", "monotonic": 7.5}
    assert records.load_proven(written) == 3.5
    assert records.load_uptime(written) == UPTIME
    assert records.dump_proven(3.5, "x") == {"proven": 3.5, "how": "x"}
    assert records.load_uptime({"proven": 3.5}) is None


def without(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name not in names}


def test_what_may_be_missing_or_nothing() -> None:
    later = ("origin", "certificate_id", "key_of", "home")
    plain = dataclasses.replace(
        ATTEMPT, csr_hash=None, origin="claim", certificate_id=None, key_of=None, home=None
    )
    assert records.load_attempt({**without(ATTEMPT_JSON, *later), "csr_hash": None}) == plain
    nothing = {**ATTEMPT_JSON, **dict.fromkeys(("csr_hash", *later))}
    assert records.load_attempt(nothing) == plain
    anywhere = {**ATTEMPT_JSON, "home": {**ATTEMPT_JSON["home"], "ca_file": None}}
    home = records.load_attempt(anywhere).home
    assert home == Home(name="b.example", port=443, ca_file=None)
    for value in (
        without(ISSUED_JSON, "ownership_token"),
        {**ISSUED_JSON, "ownership_token": None},
    ):
        assert records.load_issued(value) == dataclasses.replace(ISSUED, ownership_token=None)
    erased = records.dump_issued(dataclasses.replace(ISSUED, ownership_token=None, uptime=None))
    assert erased == {"certificate_id": "c0ffee", "ownership_token": None, "received": 9.5}
    no_thing = records.load_registration({"thing_name": None, "device_configuration": {"a": 1}})
    assert no_thing == Registration(thing_name=None, device_configuration={"a": "1"})
    for ours in (False, 1, "true", None):
        assert records.load_key_name({**NAME_JSON, "is_ours": ours}).is_ours is False


ATTEMPT_TEXTS = ("endpoint", "template", "method", "parameters_hash", "csr_hash", "certificate_id")
TEXTS: list[tuple[Callable[[Any], object], dict[str, Any], tuple[str, ...]]] = [
    (records.load_attempt, ATTEMPT_JSON, ATTEMPT_TEXTS),
    (records.load_issued, ISSUED_JSON, ("certificate_id", "ownership_token", "boot")),
    (records.load_registration, REGISTRATION_JSON, ("thing_name",)),
    (records.load_key_name, NAME_JSON, ("token", "label")),
]  # fmt: skip
NUMBERS: list[tuple[Callable[[Any], object], dict[str, Any], tuple[str, ...]]] = [
    (records.load_attempt, ATTEMPT_JSON, ("tries", "not_before", "opened", "key_of")),
    (records.load_issued, ISSUED_JSON, ("received", "monotonic")),
    (records.load_proven, {"proven": 3.5}, ("proven",)),
]


@pytest.mark.parametrize(("load", "value", "names"), TEXTS)
@pytest.mark.parametrize("wrong", [7, True, [], {}])
def test_a_text_that_is_none_is_damage(
    load: Callable[[Any], object], value: dict[str, Any], names: tuple[str, ...], wrong: object
) -> None:
    for name in names:
        with pytest.raises(TypeError, match=f"{name} is not text"):
            load({**value, name: wrong})


@pytest.mark.parametrize(("load", "value", "names"), NUMBERS)
@pytest.mark.parametrize("wrong", ["7", True, [], float("nan"), float("inf"), float("-inf")])
def test_a_number_that_nothing_can_be_reckoned_from_is_damage(
    load: Callable[[Any], object], value: dict[str, Any], names: tuple[str, ...], wrong: object
) -> None:
    """A deadline that is not a number ended the agent where it was waited for."""
    for name in names:
        with pytest.raises((TypeError, ValueError), match=f"{name} is no"):
            load({**value, name: wrong})


@pytest.mark.parametrize(
    ("load", "value", "may_lack"),
    [
        (records.load_attempt, ATTEMPT_JSON, {"origin", "certificate_id", "key_of", "home"}),
        (records.load_issued, ISSUED_JSON, {"ownership_token", "boot"}),
        (records.load_registration, REGISTRATION_JSON, set()),
        (records.load_key_name, NAME_JSON, set()),
    ],
)
def test_what_lacks_something_else_is_damage(
    load: Callable[[Any], object], value: dict[str, Any], may_lack: set[str]
) -> None:
    for name in value.keys() - may_lack:
        with pytest.raises(KeyError, match=name):
            load(without(value, name))
    with pytest.raises((KeyError, TypeError)):
        records.load_registration({"thing_name": "x", "device_configuration": [1]})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_json_has_such_numbers(number: str) -> None:
    with pytest.raises(ValueError, match="proven"):
        records.load_proven(json.loads(f'{{"proven": {number}}}'))
