import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_agent.config.sources import Dmi, FirstOf, FromEnvironment, FromFile, Source
from fleet_agent.device import Parameter, Unusable, resolve
from fleet_agent.device.placeholders import KNOWN, is_placeholder
from fleet_agent.errors import DeviceError, Exit
from support.devices import Tree
from support.reserved import NOTHING_OWN


def test_every_parameter_keeps_its_name_and_place(tree: Tree) -> None:
    tree.write("etc/site", "north\n")
    wanted: dict[str, Source] = {"Z": "last letter", "A": FromFile(file="/etc/site")}
    assert resolve(wanted, reserved=NOTHING_OWN, root=tree.root) == (
        Parameter("Z", "last letter", "literal"),
        Parameter("A", "north", "file:/etc/site"),
    )


def test_no_parameters_are_no_error() -> None:
    assert resolve({}, reserved=NOTHING_OWN) == ()


def test_all_that_have_no_value_are_named_together(tree: Tree) -> None:
    wanted: dict[str, Source] = {
        "Serial": Dmi(dmi="product_serial"),
        "Place": "Oslo",
        "Line": FromEnvironment(env="LINE"),
    }
    with pytest.raises(DeviceError, match="2 template parameters have no usable value") as caught:
        resolve(wanted, reserved=NOTHING_OWN, root=tree.root, environment={})
    error = caught.value
    assert "Serial: dmi:product_serial does not exist" in error.title
    assert "Line: env:LINE is not set" in error.title
    assert "Place" not in error.title
    assert "fleet-agent parameters" in error.remedy
    assert (error.code, error.exit_status) == ("parameter-missing", Exit.WRONG_ON_DEVICE)


def test_one_that_has_no_value_is_one(tree: Tree) -> None:
    with pytest.raises(DeviceError, match="A template parameter has no usable value"):
        resolve({"Serial": Dmi(dmi="product_serial")}, reserved=NOTHING_OWN, root=tree.root)


def test_the_first_usable_one_is_taken_and_the_rest_not_asked(tree: Tree) -> None:
    tree.write("sys/class/dmi/id/product_serial", "Default string\n")
    tree.write("sys/class/dmi/id/board_serial", "BX-17\n")
    sources = (
        FromEnvironment(env="SERIAL"),
        Dmi(dmi="product_serial"),
        Dmi(dmi="board_serial"),
        FromFile(file="/not/asked"),
    )
    assert tree.found(FirstOf(first_of=sources)) == ("BX-17", "dmi:board_serial")


def test_a_choice_inside_a_choice_is_walked_in_order(tree: Tree) -> None:
    inner = FirstOf(first_of=(FromEnvironment(env="A"), FromEnvironment(env="B")))
    outer = FirstOf(first_of=(inner, "fallback"))
    assert tree.found(outer, {"B": "b"}) == ("b", "env:B")
    assert tree.found(outer, {}) == ("fallback", "literal")


def test_a_choice_without_a_usable_value_says_why_each_was_none(tree: Tree) -> None:
    sources = (FromEnvironment(env="A"), FromEnvironment(env="B"))
    found = tree.look(FirstOf(first_of=sources), {"B": "none"})
    assert found == Unusable("P", ("env:A is not set", 'env:B has the placeholder "none"'))


def test_a_literal_may_be_what_would_be_a_placeholder_elsewhere(tree: Tree) -> None:
    assert tree.found("None") == ("None", "literal")
    assert tree.found("") == ("", "literal")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "env:A is empty"),
        ("  \n", "env:A is empty"),
        ("To Be Filled By O.E.M.", 'env:A has the placeholder "To Be Filled By O.E.M."'),
        ("a\nb", "env:A has more than one line"),
        ("a\x07b", "env:A contains a control character (U+0007)"),
        ("a\udcff", "env:A contains something that is not UTF-8 (U+DCFF)"),
        ("ab" * 2049, "env:A has 4098 characters; AWS IoT allows 4096"),
    ],
)
def test_a_value_that_cannot_be_sent(tree: Tree, text: str, reason: str) -> None:
    assert tree.reason(FromEnvironment(env="A"), {"A": text}) == reason


def test_a_value_of_every_length_up_to_the_limit_is_sent(tree: Tree) -> None:
    assert tree.found(FromEnvironment(env="A"), {"A": "ab" * 2048}) == ("ab" * 2048, "env:A")


def test_a_name_that_cannot_be_sent(tree: Tree) -> None:
    with pytest.raises(DeviceError, match="1 to 2048 characters"):
        resolve({"x" * 2049: "a"}, reserved=NOTHING_OWN, root=tree.root)
    with pytest.raises(DeviceError, match=r"U\+0001"):
        resolve({"x\x01": "a"}, reserved=NOTHING_OWN, root=tree.root)


@pytest.mark.parametrize(
    "text",
    [
        *sorted(KNOWN),
        "DEFAULT STRING",
        " To be filled by O.E.M. ",
        "System Serial Number",
        "Not Specified",
        "None",
        "N/A",
        "123456789",
        "uninitialized",
        "0",
        "0000000000",
        "00:00:00:00:00:00",
        "00000000-0000-0000-0000-000000000000",
        "FFFF-ffff",
        "xxxxxxxx",
        "........",
        "-",
        "",
    ],
)
def test_a_placeholder(text: str) -> None:
    assert is_placeholder(text)


SERIALS = ["7", "77", "777", "10000000c0ffee42", "SN-0001", "O.E.M. 12", "00:1a:2b:3c:4d:5e", "NA"]


@pytest.mark.parametrize("text", SERIALS)
def test_no_placeholder(text: str) -> None:
    assert not is_placeholder(text)


@pytest.mark.parametrize("text", sorted(KNOWN))
def test_a_placeholder_in_capitals(text: str) -> None:
    assert is_placeholder(text.upper())


@given(some.text())
def test_white_space_around_a_value_makes_no_difference(text: str) -> None:
    assert is_placeholder(text) == is_placeholder(f" {text}\n")
