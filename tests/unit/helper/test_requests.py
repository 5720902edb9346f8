"""What the helper takes of the agent's user, and what not."""

import json
from typing import Any

import pytest

from fleet_agent_helper.requests import Cancel, RefusedError, Result, Start, read

GOOD: dict[str, Any] = {"name": "show", "arguments": ["a", ""], "order": "job:1", "timeout": 5}


def test_a_start_and_a_question() -> None:
    line = json.dumps(GOOD).encode()
    assert read(line) == Start("show", ("a", ""), "job:1", 5)
    assert read(b'{"result": "job:1"}') == Result("job:1")
    assert read(b'{"cancel": "job:1"}') == Cancel("job:1")


_ARGUMENTS: list[Any] = ["text", {}, ["\0"], [7], [["a"]], ["x"] * 65, None, ["\ud800"]]
REFUSED: list[Any] = [
    None, 7, [], {}, {"result": ""}, {"result": 7}, {"result": "a", "order": "b"}, {"cancel": 7},
    {"cancel": "a", "result": "a"}, GOOD | {"user": "root"},
    {key: GOOD[key] for key in ("name", "arguments", "order")},
    *(GOOD | {"name": entry} for entry in (
        "../show", "show/../show", "/bin/sh", "show.profile", ".", "..", "", "SHOW", "a\n", "\0", "-x", "x" * 64, 7,
    )),
    *(GOOD | {"arguments": listed} for listed in _ARGUMENTS),
    *(GOOD | {"timeout": item} for item in (0, -1, 0.5, True, "5", 86_401, float("nan"), float("inf"), None)),
    *(GOOD | {"order": each} for each in ("", "\ud800", "o" * 257, 7, None)),
]  # fmt: skip


@pytest.mark.parametrize("asked", REFUSED, ids=repr)
def test_what_is_none_is_refused(asked: Any) -> None:
    with pytest.raises(RefusedError):
        read(json.dumps(asked).encode())


@pytest.mark.parametrize(
    "line", [b"", b"{", b"\xff", b"[" * 60_000, b"9" * 60_000, b"x" * 65_537, b'"\\ud800"']
)
def test_rubbish_is_refused(line: bytes) -> None:
    with pytest.raises(RefusedError):
        read(line)
