"""Lists of expected devices, as people and spreadsheets write them; and whom the hook's log says that it refused."""

import json
from pathlib import Path

import pytest

from fleet_cloud.aws import times
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.fleet import expected, refusals
from fleet_cloud.fleet.expected import Expected
from fleet_cloud.plan import hook_settings
from fleet_cloud.plan.documents import Registry, template_body
from fleet_cloud.plan.hook.registration import Registration

KEY = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NAMES = FleetNames("vans")
TYPE = Registry(thing_type="van", thing_group="north")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_list_and_spreadsheet_say_the_same(tmp_path: Path, encoding: str) -> None:
    plain, sheet = tmp_path / "plain", tmp_path / "sheet.csv"
    plain.write_bytes("# batch 7\r\n4711\r\n\r\n4712\r\n".encode(encoding))
    assert expected.read(plain) == [Expected(serial="4711"), Expected(serial="4712")]
    text = f'SerialNumber;Key;site\r\n# remark\r\n4711;{KEY.upper()};"north"\r\n4712;;\r\n'
    sheet.write_bytes(text.encode(encoding))
    assert expected.read(sheet) == [
        Expected(serial="4711", key=KEY, more={"site": "north"}),
        Expected(serial="4712"),
    ]


@pytest.mark.parametrize("name", ["key", "Key_SHA256", "public_key_sha256", "key_hash"])
def test_hash_of_a_key_is_known_by_the_names_that_it_is_given(tmp_path: Path, name: str) -> None:
    path = tmp_path / "list"
    path.write_text(f"serial,{name}\n  # a remark\n4711,{KEY}\n")
    assert expected.read(path) == [Expected(serial="4711", key=KEY)]


def test_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(FleetCloudError, match="more than 128 MiB"):
        expected.read(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("# none\n", "names no device"),
        ("serial,key\n", "names no device"),
        pytest.param(f"serial\n4711\n{'x' * 200_000}\n", "line 3: field larger", id="too long"),
        ("4711,x\n", "several columns, but line 1 does not name them"),
        ("serial,key\n4711,12ab\n", "line 2: key: '12ab' is not a SHA-256"),
        ("serial,key\n4711\n", "line 2 has 1 columns, not 2"),
        (
            "serial,site\n4711,north west\n",
            "line 2: AWS does not accept an attribute 'site' 'north west'",
        ),
        ("serial,key\n,\n", "line 2: '' is empty"),
        ("serial\n4711\n4711\n", "line 3: 4711 appears twice"),
        ("serial\n47 11\n", "line 2: '47 11' contains a space"),
        (
            f"serial,fingerprint\n4711,{KEY}\n4712,\n",
            "the column 'fingerprint' contains hashes of keys",
        ),
        (f"serial,key,sha256\n4711,{KEY},{KEY}\n", "has the column key twice"),
    ],
)
def test_list_that_is_wrong_is_named_by_its_lines(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        expected.read(path)
    assert why in " ".join([refused.value.title, *refused.value.details])


def test_expected_thing_is_what_the_template_makes_of_it() -> None:
    template = hook_settings.of_template(template_body(NAMES, TYPE, remembers=True))
    device = Expected(serial="7", key=KEY, more={"DeviceLocation": "dock", "site": "north"})
    made = expected.entry(device, template)
    assert (made.name, made.where, made.groups) == ("vans-7", {"thingTypeName": "van"}, ["north"])
    assert made.new == {
        "serialNumber": "7",
        "deviceLocation": "dock",
        "site": "north",
        "registration": str(Registration(expected=KEY)),
    }
    untyped = hook_settings.of_template(template_body(NAMES, remembers=True))
    with pytest.raises(UsageError, match="more than 3 attributes"):
        expected.entry(device, untyped)
    with pytest.raises(UsageError, match="4711/a cannot be expected: AWS IoT takes no name"):
        expected.entry(Expected(serial="4711/a"), template)


def test_those_who_were_refused_and_not_let_in_since_are_waiting() -> None:
    def event(at: int, serial: str, *, allowed: bool, session: str = "c1") -> dict[str, object]:
        said = {"serial": serial, "session": session, "thing": f"vans-{serial}", "why": "why"}
        return {"timestamp": at * 1000, "message": json.dumps({**said, "allowed": allowed}) + "\n"}

    found = refusals.of(
        {
            "events": [
                event(3, "A", allowed=False),
                event(1, "A", allowed=False),
                event(1, "B", allowed=False),
                event(2, "B", allowed=True),
                event(4, "B", allowed=False, session="thief"),
                {"timestamp": 9, "message": "REPORT allowed"},
                {"timestamp": 9, "message": '{"error": "ThrottlingException"}'},
            ]
        }
    )
    assert [(each.who, each.session, each.times) for each in found] == [
        ("vans-B", "thief", 1),
        ("vans-A", "c1", 2),
    ]
    assert refusals.of(None) == []
    nameless = {"serial": None, "session": "c1", "allowed": False, "why": "why"}
    (found_one,) = refusals.of({"events": [{"timestamp": 1, "message": json.dumps(nameless)}]})
    assert (found_one.who, found_one.serial) == ("-", "")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("1h", 3600),
        ("1h30m", 5400),
        ("2d", 172800),
        ("0s", 0),
        ("1", None),
        ("", None),
        ("-1h", None),
    ],
)
def test_duration_is_read_as_it_is_typed(given: str, seconds: int | None) -> None:
    assert times.seconds(given) == seconds
