"""The line of one handler: what of it another start finds, at whatever point the agent ended."""

import dataclasses
import json
from pathlib import Path

import pytest

from fleet_agent.clock import Uptime
from fleet_agent.errors import StateDirectoryError
from fleet_agent.orders import order as form
from fleet_agent.orders import outcome as ending
from fleet_agent.orders.order import JOB, Bound, Order, bound
from fleet_agent.orders.order_queue import Item, OrderQueue
from fleet_agent.orders.outcome import Outcome, Result, failure
from support.clock import FakeClock

FULL = Order(
    topic="cmd/pump", payload=b"\0\xff", response_topic="answers", correlation_data=b"\1", content_type="a/b",
    user_properties=(("k", "v"),), levels=("a", "b"), identity="one", origin=JOB, arguments=("x", "y"),
    bound=Bound(seconds=5.0, since=1.5, uptime=Uptime(boot="b", monotonic=2.5)), id="ab12",
)  # fmt: skip
OUTCOME = Outcome(
    status=3,
    error="x",
    reason="why",
    stdout=b"\0out",
    stderr=b"err",
    is_cut=True,
    packet=b"\1",
    was_begun=False,
)


def order(identity: str | None = "one", payload: bytes = b"do it") -> Order:
    return Order(payload=payload, identity=identity)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def taken(line: OrderQueue) -> tuple[Item, Order]:
    found = line.next()
    assert found is not None
    return found


# Values on disk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        FULL,
        order(None, b""),
        dataclasses.replace(FULL, bound=None),
        dataclasses.replace(FULL, correlation_data=b"", response_topic="", identity=""),
    ],
)
def test_an_order_is_read_as_it_was_written(value: Order) -> None:
    assert form.from_values(json.loads(form.to_bytes(value))) == value


@pytest.mark.parametrize(
    "value", [OUTCOME, Outcome(), failure("busy", "too much", was_begun=True)]
)
def test_an_outcome_is_read_as_it_was_written(value: Outcome) -> None:
    assert ending.from_values(json.loads(json.dumps(ending.to_values(value)))) == value


def test_they_stand_on_disk_as_other_versions_read_them() -> None:
    values = form.to_values(FULL)
    assert values["payload"] == "AP8="
    assert values["correlation_data"] == "AQ=="
    assert values["bound"] == {
        "seconds": 5.0,
        "since": 1.5,
        "uptime": {"boot": "b", "monotonic": 2.5},
    }
    assert form.to_values(order())["correlation_data"] is None
    written = ending.to_values(OUTCOME)
    assert (written["stdout"], written["stderr"], written["packet"]) == (
        "AG91dA==",
        "ZXJy",
        "AQ==",
    )
    assert ending.to_values(Outcome())["stdout"] is None


@pytest.mark.parametrize(
    "lacks", ["payload", "correlation_data", "user_properties", "levels", "bound"]
)
def test_what_is_no_order_is_damage(lacks: str) -> None:
    values = form.to_values(FULL)
    for wrong in (
        {name: value for name, value in values.items() if name != lacks},
        {**values, lacks: 7},
        {**values, "x": 1},
    ):
        with pytest.raises(ValueError, match=r"."):
            form.from_values(wrong)
    for name in ("stdout", "stderr", "packet"):
        outcome = ending.to_values(OUTCOME)
        del outcome[name]
        with pytest.raises(ValueError, match=name):
            ending.from_values(outcome)


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome(), Result.DONE),
        (Outcome(status=1), Result.FAILED),
        (failure("timeout", "slow"), Result.TIMED_OUT),
        (failure("not-started", "x"), Result.FAILED),
        *((failure(word, "x"), Result.REFUSED) for word in sorted(ending._REFUSALS)),
    ],
)
def test_how_it_ended_in_a_word(outcome: Outcome, result: Result) -> None:
    assert outcome.result is result
    assert outcome.is_good is (result is Result.DONE)
    assert outcome.was_begun is (not outcome.error)


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_how_long_an_order_is_of_use_whatever_becomes_of_the_clock(seconds: float) -> None:
    clock = FakeClock()
    found = bound(seconds, clock)
    assert found is not None
    assert bound(None, clock) is None
    assert found.left(clock) == seconds
    clock.go(4)
    clock.now += 1e6
    assert found.left(clock) == seconds - 4, "within one boot the wall clock may be set"
    clock.now -= 1e6
    clock.reboot()
    clock.go(20)
    assert found.left(clock) <= seconds - 24, "over another one it counts"
    clock.now -= 1e6
    older = dataclasses.replace(found, uptime=None)
    assert older.left(clock) == seconds, "one that was set back makes nothing longer"


def test_what_a_damaged_order_or_outcome_lacks_is_said() -> None:
    values = form.to_values(FULL)
    del values["levels"]
    with pytest.raises(ValueError, match="levels"):
        form.from_values(values)
    with pytest.raises(ValueError, match="stdout"):
        ending.from_values({})


# The line -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_another_start", [True, False])
def test_first_come_first_served(tmp_path: Path, is_another_start: bool) -> None:
    line = OrderQueue(tmp_path / "line")
    assert line.next() is None
    assert names(tmp_path / "line") == []
    for number in range(3):
        line.add(order(str(number), b"%d" % number))
    assert names(tmp_path / "line") == [f"{number:012}.json" for number in (1, 2, 3)]
    assert (tmp_path / "line" / "000000000001.json").stat().st_mode & 0o777 == 0o600
    if is_another_start:
        line = OrderQueue(tmp_path / "line")
    assert len(line) == 3
    assert line.has("1")
    assert not line.has("3")
    assert not line.had("1")
    found = [taken(line) for _ in range(3)]
    assert [each.payload for _, each in found] == [b"0", b"1", b"2"]
    assert [(item.number, item.identity) for item, _ in found] == [(1, "0"), (2, "1"), (3, "2")]
    assert line.next() is None
    assert len(names(tmp_path / "line")) == 3  # until they are removed
    for item, _ in found:
        line.remove(item)
    assert names(tmp_path / "line") == []
    line.add(order())
    assert names(tmp_path / "line") == ["000000000004.json"]


def test_what_was_begun_is_not_begun_again(tmp_path: Path) -> None:
    line = OrderQueue(tmp_path)
    line.add(order("waits"))
    item, _ = taken(line)
    line.begin(item)
    line.begin(item)
    assert names(tmp_path) == ["000000000001.begun.json"]
    line.add(order("at once"), is_begun=True)
    assert names(tmp_path)[1] == "000000000002.begun.json"
    assert taken(line)[1].identity == "at once"
    again = OrderQueue(tmp_path)
    assert len(again) == 0
    assert [(each.number, found.identity) for each, found in again.begun] == [
        (1, "waits"),
        (2, "at once"),
    ]
    assert again.had("waits")
    assert not again.had("other")
    again.add(order())
    assert names(tmp_path)[-1] == "000000000003.json"


def test_an_outcome_is_kept_until_somebody_has_it(tmp_path: Path) -> None:
    line = OrderQueue(tmp_path)
    line.add(order("a", b"large"), is_begun=True)
    item, found = taken(line)
    line.end(item, found, OUTCOME)
    assert names(tmp_path) == ["000000000001.ended.json"]
    assert (tmp_path / "000000000001.ended.json").stat().st_mode & 0o777 == 0o600
    again = OrderQueue(tmp_path)
    ((kept, about, outcome),) = again.ended
    assert (about, outcome) == (dataclasses.replace(found, payload=b""), OUTCOME)
    assert (again.begun, len(again)) == ([], 0)
    assert again.had("a")
    again.remove(kept)
    assert names(tmp_path) == []


def test_a_kill_between_an_outcome_and_the_end_of_the_file_before(tmp_path: Path) -> None:
    line = OrderQueue(tmp_path)
    line.add(order("a"), is_begun=True)
    item, found = taken(line)
    begun = (tmp_path / "000000000001.begun.json").read_bytes()
    line.end(item, found, OUTCOME)
    (tmp_path / "000000000001.begun.json").write_bytes(begun)
    line.add(order("b"), is_begun=True)
    again = OrderQueue(tmp_path)
    assert [each.identity for _, each in again.begun] == ["b"]
    assert len(again.ended) == 1
    assert names(tmp_path) == ["000000000001.ended.json", "000000000002.begun.json"]


def test_one_that_is_only_in_memory(tmp_path: Path) -> None:
    line = OrderQueue(tmp_path / "line")
    line.add_in_memory(order("a"))
    line.add_in_memory(order("b"))
    assert names(tmp_path / "line") == []
    item, found = taken(line)
    assert (item.number, item.identity, item.path, found.payload) == (1, "a", None, b"do it")
    line.begin(item)
    line.remove(item)
    line.end(item, found, OUTCOME)
    assert names(tmp_path / "line") == ["000000000001.ended.json"]
    assert taken(line)[0].number == 2


def test_one_that_cannot_be_stored_waits_in_memory(tmp_path: Path) -> None:
    (tmp_path / "line").write_text("no folder")
    line = OrderQueue(tmp_path / "line")
    with pytest.raises(StateDirectoryError):
        line.add(order("a"))
    assert taken(line)[1].identity == "a"


def test_one_is_taken_out_wherever_it_waits(tmp_path: Path) -> None:
    line = OrderQueue(tmp_path)
    for identity in ("a", "b", "c"):
        line.add(order(identity))
    found = line.take("b")
    assert found is not None
    assert found.number == 2
    assert line.take("b") is None
    assert [taken(line)[1].identity for _ in range(2)] == ["a", "c"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"outcome": {}}', b'{"order": 7, "outcome": {}}']
)
def test_a_damaged_one_is_lost_and_stops_nothing(tmp_path: Path, data: bytes) -> None:
    line = OrderQueue(tmp_path)
    line.add(order("a"))
    line.add(order("b"))
    (tmp_path / "000000000001.json").write_bytes(data)
    assert taken(line)[1].identity == "b"
    (tmp_path / "000000000007.begun.json").write_bytes(data)
    (tmp_path / "other.json").write_bytes(data)
    again = OrderQueue(tmp_path)
    assert (again.begun, len(again)) == ([], 1)
    assert names(tmp_path) == ["000000000002.json", "other.json"]
    again.add(order())
    assert "000000000008.json" in names(tmp_path)  # no number is used twice


def test_a_link_in_its_place_is_left_and_stays_the_first(tmp_path: Path) -> None:
    line = OrderQueue(tmp_path)
    line.add(order("a"))
    path = tmp_path / "000000000001.json"
    data = path.read_bytes()
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(StateDirectoryError):
            line.next()
    assert len(OrderQueue(tmp_path)) == 0
    path.unlink()
    path.write_bytes(data)
    assert taken(line)[1].identity == "a"
    path.unlink()
    line.add(order("b"))
    (tmp_path / "000000000002.json").unlink()  # somebody removed it
    assert line.next() is None
