"""Messages that come twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.config.handlers import ExecHandler, FileHandler
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.orders import deduplicate
from fleet_agent.orders.deduplicate import Remembered, identity
from unit.orders.conftest import Bench


@pytest.mark.parametrize(
    ("rule", "payload", "properties", "found"),
    [
        ("property:id", b"", (("id", "a"), ("id", "b")), "a"),
        ("property:id", b"", (("ID", "a"),), None),
        ("property:a:b", b"", (("a:b", "c"),), "c"),
        ("payload:id", b'{"id": "a"}', (), "a"),
        ("payload:id", b'{"id": 17}', (), "17"),
        ("payload:id", b'{"id": ""}', (), ""),
        ("payload:id", b'{"id": true}', (), None),
        ("payload:id", b'{"id": null}', (), None),
        ("payload:id", b'{"id": 1.5}', (), None),
        ("payload:id", b"[1]", (), None),
        ("payload:id", b"\xff", (), None),
        ("payload:id", b"[" * 100_000, (), None),
        ("payload:id", b'{"id": ' + b"9" * 100_000 + b"}", (), None),
    ],
)
def test_the_id_of_a_message(
    rule: str, payload: bytes, properties: tuple[tuple[str, str], ...], found: str | None
) -> None:
    assert identity(rule, payload, properties) == found


@given(st.sampled_from(["payload:a", "property:a"]), st.binary(max_size=100), st.text())
def test_nothing_that_arrives_makes_it_fail(rule: str, payload: bytes, text: str) -> None:
    try:
        assert identity(rule, payload, (("a", text),)) in (None, text)
    except ValueError:
        assert len(text.encode()) > 256


def test_a_duplicate_is_left_alone_also_after_a_restart(bench: Bench, tmp_path: Path) -> None:
    counting = Subscription(
        topic="cmd",
        name="h",
        deduplicate="property:id",
        exec=ExecHandler(argv=("sh", "-c", f"echo x >>{tmp_path}/log")),
    )
    bench.listen(counting)
    assert bench.ask("cmd", user_properties=(("id", "1"),))["status"] == 0
    for is_after_restart in (False, True):
        if is_after_restart:
            bench.die()
            bench.live()
        found = bench.ask("cmd", user_properties=(("id", "1"),))
        assert (found["status"], found["error"]) == (-1, "duplicate")
    assert bench.ask("cmd", user_properties=(("id", "2"),))["status"] == 0
    assert bench.ask("cmd")["status"] == 0  # one without an id is handled
    assert (tmp_path / "log").read_text() == "x\n" * 3
    assert bench.counters().duplicates == 1
    assert bench.ask("cmd", user_properties=(("id", "x" * 257),))["error"] == "bad-id"


def test_one_that_waits_is_known_too(bench: Bench) -> None:
    bench.listen(
        Subscription(
            topic="cmd",
            name="h",
            deduplicate="payload:id",
            exec=ExecHandler(argv=("sleep", "0.1")),
        )
    )
    for name in ("a", "b", "a", "b"):
        bench.send("cmd", json.dumps({"id": name}).encode())
    errors = [answer.said.get("error") for answer in bench.answered(4)]
    assert errors == ["duplicate", "duplicate", None, None]


def test_what_was_not_done_can_be_asked_for_again(bench: Bench, tmp_path: Path) -> None:
    missing = tmp_path / "program"
    bench.listen(
        Subscription(
            topic="e", name="h", deduplicate="property:id", exec=ExecHandler(argv=(str(missing),))
        ),
        Subscription(
            topic="f",
            name="g",
            deduplicate="property:id",
            file=FileHandler(path=str(tmp_path / "no" / "x")),
        ),
    )
    one: dict[str, Any] = {"user_properties": (("id", "1"),)}
    assert bench.ask("e", **one)["error"] == "not-started"
    assert bench.ask("f", **one)["error"] == "not-written"
    missing.write_text("#!/bin/sh\n")
    missing.chmod(0o755)
    (tmp_path / "no").mkdir()
    for topic in ("e", "f"):
        assert bench.ask(topic, **one)["status"] == 0
        assert bench.ask(topic, **one)["error"] == "duplicate"


def test_the_last_ones_are_remembered_and_the_file_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deduplicate, "REMEMBERED", 20)
    path = tmp_path / "folder" / "ids"
    found = Remembered(path)
    for number in range(3 * 20):
        found.add(f"id {number}")
    found.forget(f"id {3 * 20 - 1}")
    for each in (found, Remembered(path)):
        assert f"id {2 * 20}" in each
        assert f"id {3 * 20 - 2}" in each
        assert f"id {2 * 20 - 1}" not in each
        assert f"id {3 * 20 - 1}" not in each
    assert len(path.read_bytes().splitlines()) <= 2 * 20


def test_a_file_cut_anywhere_gives_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    names = [f"id\n{number}" for number in range(4)]
    for name in names:
        Remembered(path).add(name)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        after = Remembered(path)
        assert all(name in after for name in names[: data[:length].count(b"\n")])
        if length % 7 == 0:  # wherever in a line
            after.add("new")
            assert "new" in Remembered(path)


def test_an_id_of_as_many_bytes_as_may_be() -> None:
    for text in ("x" * 256, "é" * 128, "\ud800" * 256):
        assert identity("property:a", b"", (("a", text),)) == text
        with pytest.raises(ValueError, match="more than 256 bytes"):
            identity("property:a", b"", (("a", text + "x"),))


def test_a_line_is_added_until_there_are_twice_as_many_then_the_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time that the file is made again it is written whole."""
    monkeypatch.setattr(deduplicate, "REMEMBERED", 5)
    path = tmp_path / "ids"
    lengths = []
    for number in range(1, 19):
        # Another start makes no difference: what the file has is counted.
        Remembered(path).add(f"id {number}")
        lengths.append(len(path.read_bytes().splitlines()))
    assert lengths == [*range(1, 11), *range(5, 11), 5, 6]
    assert path.stat().st_mode & 0o777 == 0o600
    found = Remembered(path)
    for number in range(12):
        found.add(f"more {number}")
        found.forget(f"more {number}")
        assert len(path.read_bytes().splitlines()) <= 10


def test_as_much_as_it_may_hold_is_read_again(tmp_path: Path) -> None:
    """A thousand of the longest ids, as JSON writes them."""
    names = [f"{number:04}" + "\x01" * 252 for number in range(deduplicate.REMEMBERED)]
    path = tmp_path / "ids"
    path.write_text("".join(f"+{json.dumps(name)}\n" for name in names))
    assert path.stat().st_size > 1 << 20
    found = Remembered(path)
    assert all(name in found for name in names)
