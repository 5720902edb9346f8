"""The hook's decision, and the package that Lambda gets."""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fleet_cloud.aws.names import FleetNames
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.plan import documents, hook_settings, hooks, serials
from fleet_cloud.plan.hook.certificate import key_hash
from fleet_cloud.plan.hook.handler import permits
from fleet_cloud.plan.hook.naming import UnresolvedError, fault, resolve
from fleet_cloud.plan.hook.registration import Registration
from fleet_cloud.plan.serials import Rules
from support.certificates import make_certificate
from support.csr import make_key

NAMES = FleetNames("vans")


@pytest.mark.parametrize(
    ("allow", "pattern", "serial", "permitted"),
    [
        (["A-1"], None, "A-1", True),
        (["A-1"], None, "A-11", False),
        (None, "A-[0-9]", "A-1", True),
        (None, "A-[0-9]", "A-1x", False),
        (None, "A-[0-9]", "A-1\n", False),
        (["B"], "A-[0-9]", "B", True),
        (["B"], ".*", None, False),
        (["B"], ".*", 5, False),
        ([], None, "B", False),
        (None, None, "B", True),
    ],
)
def test_serial_number_is_permitted(
    allow: list[str] | None, pattern: str | None, serial: object, *, permitted: bool
) -> None:
    listed = None if allow is None else frozenset(allow)
    assert permits(pattern, listed, serial) is permitted


@pytest.mark.parametrize(
    ("name", "place", "why"),
    [
        ("van-1", "dock:7/a@b,c=[d].e_f#g-", None),
        ("a" * 128, "", None),
        ("a" * 129, "", "no name 'aaa"),
        ("van 1", "", "no name 'van 1': 1 to 128"),
        ("van/1", "", "no name 'van/1'"),
        ("vän-1", "", "no name 'vän-1'"),
        ("van-1\n", "", r"no name 'van-1\n'"),
        ("", "", "no name ''"),
        ("van-1", "New York", "no attribute place 'New York': up to 800"),
        ("van-1", "a" * 801, "no attribute place"),
    ],
)
def test_what_no_thing_can_be_called_or_have_is_named(
    name: str, place: str, why: str | None
) -> None:
    found = fault([name], {"place": place})
    assert found is None if why is None else why in str(found)


def test_package_runs_alone_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = hooks.package(("B-1",))
    assert made == hooks.package(("B-1",))
    zipfile.ZipFile(io.BytesIO(made)).extractall(tmp_path)
    settings = hook_settings.of_fleet(
        documents.template_body(NAMES), Rules(allow=("B-1",), pattern="C"), None
    )
    event = {"parameters": {"SerialNumber": "A-1"}, "clientId": "c", "certificatePem": "secret"}
    lines = (
        "import json, fleet_cloud.plan.hook.handler as hook; "
        f"print(json.dumps(hook.handler({event!r}, None)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines],
        cwd=tmp_path,
        env={"RULES": json.dumps(settings.document())},
        capture_output=True,
        text=True,
        check=True,
    )
    log, answer = map(json.loads, done.stdout.splitlines())
    assert (log["serial"], log["client"], log["allowed"]) == ("A-1", "c", False)
    assert "secret" not in done.stdout
    assert answer == {"allowProvisioning": False, "parameterOverrides": {}}


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048"])
def test_public_key_is_found_in_a_certificate_without_a_library(kind: str) -> None:
    key = make_key(kind)
    pem = make_certificate(key)
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key_hash(pem) == hashlib.sha256(der).hexdigest()
    with pytest.raises(ValueError, match="no certificate"):
        key_hash("-----BEGIN PRIVATE KEY-----")
    body = base64.b64decode("".join(pem.splitlines()[1:-1]))
    for size in range(0, 200, 7):
        cut = base64.b64encode(body[:size]).decode()
        with pytest.raises(ValueError, match=r"certificate"):
            key_hash(f"-----BEGIN CERTIFICATE-----\n{cut}\n-----END CERTIFICATE-----")


def test_what_is_remembered_of_a_thing_is_read_as_it_was_written() -> None:
    for known in (
        Registration(),
        Registration(key="a" * 64, certificate="b" * 16, at=17, given=True),
        Registration(expected="c" * 64, until=5, any_key=True, second="d" * 64),
    ):
        assert Registration.read(str(known)) == known
        assert re.fullmatch(r"[a-zA-Z0-9_.,@/:#-]*", str(known))
        assert len(str(known)) <= 800
    assert Registration.read("none") == Registration.read(None) == Registration()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        ({"Ref": "S"}, "7-a"),
        ({"Fn::Join": ["-", ["van", {"Ref": "S"}]]}, "van-7-a"),
        ({"Fn::Sub": "van-${S}-${!S}"}, "van-7-a-${S}"),
        ({"Fn::Sub": ["${X}${S}", {"X": {"Ref": "S"}}]}, "7-a7-a"),
        ({"Fn::Select": ["1", {"Fn::Split": ["-", {"Ref": "S"}]}]}, "a"),
    ],
)
def test_thing_is_named_as_the_template_names_it(value: object, text: str) -> None:
    assert resolve(value, {"S": "7-a"}) == text


@pytest.mark.parametrize(
    "value",
    [{"Ref": "T"}, {"Fn::FindInMap": ["a"]}, {"Fn::Join": "x"}, {"Fn::Select": ["9", ["a"]]}],
)
def test_name_that_cannot_be_made_is_known_as_such(value: object) -> None:
    with pytest.raises(UnresolvedError):
        resolve(value, {"S": "7"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda thing: thing["Properties"].pop("ThingName"), "no ThingName"),
        (lambda thing: thing["Properties"].update(ThingName={"Fn::FindInMap": []}), "FindInMap"),
        (lambda thing: thing.pop("OverrideSettings"), "must be MERGE or DO_NOTHING"),
    ],
)
def test_template_that_the_hook_cannot_follow_is_named(change: Any, why: str) -> None:
    body: Any = documents.template_body(NAMES)
    change(body["Resources"]["thing"])
    with pytest.raises(FleetCloudError, match=why) as refused:
        hook_settings.of_template(body)
    assert "--no-hook" in refused.value.remedy


def test_what_the_hook_decides_is_kept_until_something_else_is_said() -> None:
    body = documents.template_body(NAMES, remembers=True)
    first = hook_settings.of_fleet(body, Rules(allow=("A",), pattern="B"), None).document()
    kept = hook_settings.of_fleet(body, None, {**first, "only": True}).document()
    assert kept == {**first, "only": True}
    assert first["remembers"] is True
    back = hook_settings.of_fleet(body, Rules(), kept)
    assert (back.pattern, back.listed, back.only) == (None, "", True)


def test_list_is_read_without_remarks_and_doubles(tmp_path: Path) -> None:
    path = tmp_path / "serials"
    path.write_text("# batch 7\nB\n\nA \nB\n")
    assert serials.read_rules(path, None) == Rules(allow=("A", "B"))
    assert serials.read_rules(None, None) is None
    assert serials.read_rules(None, None, any_serial=True) == Rules()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("A-1,A-2", "comma"),
        ("A-1;A-2", "semicolon"),
        ("A-1  # the first", "comment"),
        ("A-1#first", "comment"),
        ('"A-1"', "quote"),
        ("A-1\tA-2", "tab"),
        ("A-1 A-2", "space"),
        ("A-1\x1b[2J", "control character"),
    ],
)
def test_line_of_a_list_that_is_no_serial_number_is_named(
    tmp_path: Path, line: str, why: str
) -> None:
    path = tmp_path / "serials"
    path.write_text(f"# batch 7\nA-0\n{line}\n")
    with pytest.raises(UsageError) as refused:
        serials.read_rules(path, None)
    (detail,) = refused.value.details
    assert detail.startswith("line 3: ")
    assert why in detail


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_list_from_windows_is_read_as_it_is_meant(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "serials"
    path.write_bytes("A-1\r\nA-2\r\n".encode(encoding))
    assert serials.read_rules(path, None) == Rules(allow=("A-1", "A-2"))


def test_rules_that_are_none_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("# none\n")
    with pytest.raises(UsageError, match="contains no serial"):
        serials.read_rules(empty, None)
    with pytest.raises(UsageError, match="does not exist"):
        serials.read_rules(tmp_path / "nope", None)
    with pytest.raises(UsageError, match="not a regular expression"):
        serials.read_rules(None, "A-[")
    with pytest.raises(UsageError, match="no serial number matches"):
        serials.read_rules(None, "")
