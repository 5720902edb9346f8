"""The hook's decision, and the package that Lambda gets."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fleet_cloud.errors import UsageError
from fleet_cloud.plan import hooks
from fleet_cloud.plan.hook.handler import permits
from fleet_cloud.plan.hooks import Rules


@pytest.mark.parametrize(
    ("rule", "serial", "permitted"),
    [
        ({"allow": ["A-1"], "pattern": None}, "A-1", True),
        ({"allow": ["A-1"], "pattern": None}, "A-11", False),
        ({"allow": None, "pattern": "A-[0-9]"}, "A-1", True),
        ({"allow": None, "pattern": "A-[0-9]"}, "A-1x", False),
        ({"allow": None, "pattern": "A-[0-9]"}, "A-1\n", False),
        ({"allow": ["B"], "pattern": "A-[0-9]"}, "B", True),
        ({"allow": ["B"], "pattern": ".*"}, None, False),
        ({"allow": ["B"], "pattern": ".*"}, 5, False),
        ({}, "B", False),
    ],
)
def test_serial_number_is_permitted(
    rule: dict[str, object], serial: object, *, permitted: bool
) -> None:
    assert permits(rule, serial) is permitted


def test_package_runs_alone_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = hooks.package(Rules(pattern="A-[0-9]"))
    assert made == hooks.package(Rules(pattern="A-[0-9]"))
    zipfile.ZipFile(io.BytesIO(made)).extractall(tmp_path)
    event = {"parameters": {"SerialNumber": "A-1"}, "clientId": "c", "certificatePem": "secret"}
    lines = f"import json, handler; print(json.dumps(handler.handler({event!r}, None)))"
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    log, answer = map(json.loads, done.stdout.splitlines())
    assert log == {"SerialNumber": "A-1", "client": "c", "allowed": True}
    assert answer == {"allowProvisioning": True, "parameterOverrides": {}}


def test_list_is_read_without_remarks_and_doubles(tmp_path: Path) -> None:
    path = tmp_path / "serials"
    path.write_text("# batch 7\nB\n\nA \nB\n")
    assert hooks.read_rules(path, None) == Rules(allow=("A", "B"))
    assert hooks.read_rules(None, None) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("A-1,A-2", "comma"),
        ("A-1;A-2", "semicolon"),
        ("A-1  # the first", "remark"),
        ("A-1#first", "remark"),
        ('"A-1"', "quote"),
        ("A-1\tA-2", "tab"),
        ("A-1 A-2", "blank"),
        ("A-1\x1b[2J", "control character"),
    ],
)
def test_line_of_a_list_that_is_no_serial_number_is_named(
    tmp_path: Path, line: str, why: str
) -> None:
    path = tmp_path / "serials"
    path.write_text(f"# batch 7\nA-0\n{line}\n")
    with pytest.raises(UsageError) as refused:
        hooks.read_rules(path, None)
    (detail,) = refused.value.details
    assert detail.startswith("line 3: ")
    assert why in detail


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_list_from_windows_is_read_as_it_is_meant(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "serials"
    path.write_bytes("A-1\r\nA-2\r\n".encode(encoding))
    assert hooks.read_rules(path, None) == Rules(allow=("A-1", "A-2"))


def test_rules_that_are_none_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("# none\n")
    with pytest.raises(UsageError, match="names no serial"):
        hooks.read_rules(empty, None)
    with pytest.raises(UsageError, match="no such file"):
        hooks.read_rules(tmp_path / "nope", None)
    with pytest.raises(UsageError, match="no regular expression"):
        hooks.read_rules(None, "A-[")
