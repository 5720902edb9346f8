"""The switches of the sandbox, and how a measured account turns them."""

import json
from pathlib import Path

import pytest

from iot_sandbox import answers
from iot_sandbox.limits import RULES
from iot_sandbox.ownership_tokens import OwnershipTokens
from iot_sandbox.switches import SWITCHES, SwitchError, Switches, measured, positions, split


def test_pairs_turn_switches_and_rules() -> None:
    turned = positions(
        ["token-twice=409", "hook-limit=12 s", "unsuback=not held", "keep-alive=held"]
    )
    switches, without = split(turned)
    assert without == {"unsuback"}
    assert switches.refusal("token-twice") == (409, None)
    assert switches.hook_seconds == 12
    assert switches.is_turned("token-twice")
    assert not switches.is_turned("template-missing")
    assert Switches().spread_seconds == 0


@pytest.mark.parametrize(
    "pair",
    ["", "token-twice", "nobody=x", "csr-subject=lost", "hook-limit=0 s", "template-missing=200 OK", "unsuback=x"],
)  # fmt: skip
def test_what_is_no_position_is_named_with_those_there_are(pair: str) -> None:
    with pytest.raises(SwitchError, match=r"\|| of "):
        positions([pair])


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_takes_what_it_says(name: str) -> None:
    switch = SWITCHES[name]
    assert switch.takes(switch.default)
    assert all(switch.takes(position) for position in switch.positions)
    assert switch.default in switch.words


def test_a_measured_account_turns_them(tmp_path: Path) -> None:
    file = tmp_path / "acceptance.json"
    facts = {
        "token-twice": {"answer": "400 InvalidToken"},
        "hook-calls": {"answer": "9"},
        "topic-aliases": {"answer": "not held"},
        "hook-raises": {"answer": None},
        "no-switch-of-ours": {"answer": "x"},
    }
    file.write_text(json.dumps({"facts": facts}))
    found, beyond = measured(file)
    assert found == {"token-twice": "400 InvalidToken", "topic-aliases": "not held"}
    assert len(beyond) == 1
    assert "hook-calls" in beyond[0]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"facts": [1]}', '{"facts": {"token-twice": 1}}']
)
def test_what_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "acceptance.json"
    file.write_text(text)
    with pytest.raises(SwitchError, match="no result"):
        measured(file)


def test_every_refusal_has_a_situation_that_it_is_for() -> None:
    named = {name for _, _, name in answers._SITUATIONS}
    refused = {
        name
        for name, switch in SWITCHES.items()
        if switch.refusal and not name.startswith(("token-twice", "token-after"))
    }
    assert named | {"override-none"} == refused
    assert not named & RULES.keys()


class Session:
    """Stands for a connection: only which one it is counts."""


def test_a_token_that_registered_is_told_by_its_connection() -> None:
    turned = {"token-twice": "400 Same", "token-twice-other-session": "400 Other"}
    tokens, first, second = OwnershipTokens(Switches(turned)), Session(), Session()
    assert tokens.refusal("t", first) is None
    tokens.registered("t", first)
    assert tokens.refusal("t", first) == (400, "Same")
    assert tokens.refusal("t", second) == (400, "Other")
    assert tokens.refusal(None, first) is None


def test_a_token_that_was_refused_is_told_by_its_refusal() -> None:
    tokens, session = OwnershipTokens(Switches({"token-after-denial": "403 No"})), Session()
    tokens.refused("t", "hook-denies")
    tokens.refused("u", "parameter-missing")
    tokens.refused("v", "template-missing")
    assert tokens.refusal("t", session) == (403, "No")
    assert tokens.refusal("u", session) is None
    assert tokens.refusal("v", session) is None
