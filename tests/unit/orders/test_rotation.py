"""Orders to rotate: which messages are orders, and what a job is answered, whatever comes twice or is refused."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fleet_agent.clock import uptime
from fleet_agent.config.orders import Jobs
from fleet_agent.errors import UnreachableError
from fleet_agent.orders import rotation
from fleet_agent.orders.filters import Moves
from fleet_agent.orders.jobs.operation import Conclusion
from fleet_agent.orders.rotation import MoveTopic, OrderTopic
from fleet_agent.orders.router import Receipt
from support.clock import FakeClock
from unit.orders.cloud import Job
from unit.orders.conftest import Arriving
from unit.orders.device import JOBS, Device, credential

OLD, NEW = "a" * 64, "b" * 64
ROTATE = {"operation": "rotate-credential"}
MOVES = Moves(names=("there", "here"), here=("here",), takes_jobs=True)
FAILURE = UnreachableError("No way.", remedy="Wait.", code="gone")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Device]]:
    made: list[Device] = []

    def one() -> Device:
        made.append(Device(tmp_path, Jobs(), rotation=True))
        return made[-1]

    yield one
    for device in made:
        device.close()


@pytest.fixture
def device(make: Callable[[], Device]) -> Device:
    return make()


def orders(device: Device) -> int:
    """How often the loop was asked to rotate."""
    device.settle()
    return device.receipts.count(Receipt.ROTATE)


def begin(device: Device) -> Job:
    """A job, up to the order to rotate."""
    job = device.cloud.create("j1", ROTATE)
    device.connect()
    assert orders(device) == 1
    return job


def rotated(device: Device, certificate: str = NEW) -> None:
    device.credential = credential(certificate)
    device.rotation.rotated(device.credential)


def test_a_job_is_begun_only_once_aws_has_noted_from_what(device: Device) -> None:
    job = begin(device)
    assert job.said == [("IN_PROGRESS", {"from": OLD})]
    # With the rights that a fleet has for rotation alone.
    assert set(device.cloud.asked) == {"$next/get", "j1/update"}


def test_a_job_whose_update_is_refused_is_never_begun(device: Device) -> None:
    device.cloud.refusals["update"] = ["InvalidRequest"] * 3
    device.cloud.create("j1", ROTATE)
    for _ in range(3):  # delivered again after each connect
        device.connect()
        assert orders(device) == 0


def test_with_the_new_certificate_the_job_has_succeeded(device: Device) -> None:
    job = begin(device)
    device.disconnect()
    rotated(device)
    device.connect()
    device.settle()
    assert job.said[1:] == [("SUCCEEDED", {"from": OLD, "certificate": NEW})]
    assert orders(device) == 1


@pytest.mark.parametrize("certificate", [OLD, NEW])
def test_a_restart_in_the_middle_goes_on(device: Device, certificate: str) -> None:
    job = begin(device)
    device.die()
    device.credential = credential(certificate)
    device.live()
    device.connect()
    assert orders(device) == (2 if certificate == OLD else 1)
    assert job.status == ("IN_PROGRESS" if certificate == OLD else "SUCCEEDED")


def test_failure_is_reported_once_and_not_tried_again(device: Device) -> None:
    job = begin(device)
    device.disconnect()
    device.rotation.failed(FAILURE)
    device.connect()
    device.settle()
    assert job.said[1:] == [("FAILED", {"from": OLD, "reason": "gone: No way."})]
    device.cloud.create("j2", ROTATE)  # the next job has its own chance
    assert orders(device) == 2


def test_a_job_of_somebody_else_stays_as_it_is(device: Device) -> None:
    job = device.cloud.create("j1", {"operation": "reboot"})
    device.connect()
    assert orders(device) == 0
    assert (job.status, job.said) == ("QUEUED", [])


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{", b'{"execution": {"jobId": 1}}', b"\xff" * 9]
)
def test_what_is_no_job_orders_nothing(device: Device, payload: bytes) -> None:
    acknowledged: list[int] = []
    device.connect()
    for topic in ("notify-next", "$next/get/accepted", "j1/update/accepted", "$next/get/rejected"):
        receipt = device.hear(f"{JOBS}/{topic}", payload, lambda: acknowledged.append(1))
        assert receipt is Receipt.TAKEN
    assert len(acknowledged) == 4
    assert orders(device) == 0


@pytest.mark.parametrize("job", ["+/x", "a/b", "a\n", "", "x" * 65, "é", None, 1])
def test_an_id_cannot_lead_to_another_topic(device: Device, job: str) -> None:
    device.cloud.create(job, ROTATE)
    device.connect()
    assert orders(device) == 0
    assert set(device.cloud.asked) == {"$next/get"}


def test_an_answer_that_comes_again_is_no_second_order(device: Device) -> None:
    begin(device)
    device.disconnect()
    device.rotation.failed(FAILURE)
    state = {"status": "IN_PROGRESS", "statusDetails": {"from": OLD}, "versionNumber": 2}
    payload = json.dumps({"executionState": state}).encode()
    assert device.hear(f"{JOBS}/j1/update/accepted", payload) is Receipt.TAKEN


def test_what_failed_for_somebody_else_is_not_this_jobs_failure(device: Device) -> None:
    job = device.cloud.create("j1", ROTATE)
    job.details = {"from": OLD}
    device.rotation.failed(FAILURE)  # that of the timer, before the job was seen
    device.connect()
    assert orders(device) == 1
    device.disconnect()
    device.rotation.rotated(credential(OLD))
    device.rotation.failed(FAILURE)
    device.connect()
    assert orders(device) == 2
    assert job.said == []


# The topic ------------------------------------------------------------------------------------------------------------


def listening(clock: FakeClock, proven: float) -> OrderTopic:
    return OrderTopic(credential(proven=proven), "cmd/pump-7/rotate", clock)


def hears(topic: OrderTopic, name: str = "cmd/pump-7/rotate", **more: bool) -> bool:
    """Whether it is an order; one is not acknowledged before it is carried out."""
    acknowledged: list[bool] = []
    receipt = topic.take(
        Arriving(topic=name, acknowledge=lambda: acknowledged.append(True), **more)  # type: ignore[arg-type]
    )
    assert bool(acknowledged) is (receipt is Receipt.TAKEN)
    return receipt is Receipt.ROTATE


def test_a_clock_that_is_set_orders_no_second_rotation() -> None:
    clock = FakeClock()
    topic = listening(clock, clock.wall())
    topic.rotated(dataclasses.replace(credential(proven=clock.wall()), uptime=uptime(clock)))
    clock.go(60)
    for step in (-1e6, 2e7):
        clock.now += step
        assert not hears(topic)
    clock.go(rotation.PAUSE)
    assert hears(topic)


def test_messages_that_are_retained_or_repeated_do_not_loop() -> None:
    clock = FakeClock()
    old = clock.wall() - 3600
    assert hears(listening(clock, old))
    assert not hears(listening(clock, old), retain=True)
    assert not hears(listening(clock, clock.wall()))
    topic = listening(clock, old)
    assert topic.take(Arriving(topic="cmd/pump-7/other")) is Receipt.NOT_OURS
    topic.failed(FAILURE)
    assert not hears(topic)
    clock.go(rotation.PAUSE_FAILED)
    assert hears(topic)


@pytest.mark.parametrize(
    ("age", "is_order"),
    [(0, False), (rotation.PAUSE - 1, False), (rotation.PAUSE, True), (-1, True)],
)
def test_a_credential_is_new_for_a_while(age: float, is_order: bool) -> None:
    clock = FakeClock()
    assert hears(listening(clock, clock.wall() - age)) is is_order


def test_one_that_was_never_proven_is_as_old_as_may_be() -> None:
    clock = FakeClock()
    one = dataclasses.replace(credential(), proven=None)
    assert hears(OrderTopic(one, "cmd/pump-7/rotate", clock))


def test_after_a_rotation_that_failed_there_is_a_pause_until_one_succeeds() -> None:
    clock = FakeClock()
    topic = listening(clock, clock.wall() - rotation.PAUSE)
    topic.failed(FAILURE)
    clock.go(rotation.PAUSE_FAILED - 1)
    assert not hears(topic)
    topic.rotated(credential(NEW, proven=clock.wall() - rotation.PAUSE))
    assert hears(topic)
    assert topic.due == math.inf


def test_details_of_both_ends_are_what_fleet_cloud_reads() -> None:
    operation = rotation.RotateOperation(credential())
    said: Mapping[str, str] = operation.begin({})
    assert operation.is_begun({}, said)
    assert operation.outcome(said) is None
    operation.rotated(credential(NEW))
    details = {"from": OLD, "certificate": NEW}
    assert operation.outcome(said) == Conclusion(has_succeeded=True, details=details)


# Moves ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Device]:
    found = Device(tmp_path, Jobs(), rotation=True, moves=MOVES)
    yield found
    found.close()


def move(to: object = "there") -> dict[str, object]:
    return {"operation": "move", "to": to}


def test_a_job_moves_once_aws_has_noted_from_what_and_where_to(moving: Device) -> None:
    job = moving.cloud.create("j1", move())
    moving.connect()
    assert orders(moving) == 1
    assert job.said == [("IN_PROGRESS", {"from": OLD, "to": "there"})]
    assert moving.move is not None
    assert moving.move.destination == "there"
    (last,) = moving.move.moved()
    assert last.topic == f"{JOBS}/j1/update"
    details = {"from": OLD, "moved": "yes"}
    assert json.loads(last.payload) == {"status": "SUCCEEDED", "statusDetails": details}
    assert moving.move.moved() == [], "once"


def test_a_rotation_after_a_move_that_failed_is_no_move(moving: Device) -> None:
    job = moving.cloud.create("j1", move())
    moving.connect()
    assert orders(moving) == 1
    moving.disconnect()
    assert moving.move is not None
    moving.move.failed(FAILURE)
    moving.connect()
    moving.settle()
    assert job.said[1:] == [("FAILED", {"from": OLD, "reason": "gone: No way."})]
    moving.cloud.create("j2", ROTATE)
    assert orders(moving) == 2
    assert (moving.move.destination, moving.move.moved()) == (None, [])


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_move_that_another_certificate_came_before_has_failed_and_does_not_come_after_it(
    moving: Device, is_killed: bool
) -> None:
    """A rotation by the timer, or the ladder back; the certificate is another one, and the device is where it was."""
    job = moving.cloud.create("j1", move())
    if not is_killed:
        job.details = {"from": OLD, "to": "there"}
        moving.credential = credential(NEW)
        assert moving.move is not None
        moving.move.rotated(moving.credential)
        moving.connect()
        assert orders(moving) == 0
    else:
        moving.connect()
        assert orders(moving) == 1
        moving.die()
        moving.credential = credential(NEW)
        moving.live()
        moving.connect()
        assert orders(moving) == 1
    reason = (
        "move-overtaken: the certificate was replaced meanwhile, and this device is not at there."
    )
    assert job.said[-1] == ("FAILED", {"from": OLD, "certificate": NEW, "reason": reason})
    assert moving.move is not None
    assert (moving.move.destination, moving.move.moved()) == (None, [])


def test_a_move_that_failed_for_a_message_is_not_the_jobs_failure(moving: Device) -> None:
    assert moving.move is not None
    moving.move.destination = "there"  # by a message
    moving.move.failed(FAILURE)
    job = moving.cloud.create("j1", move())
    job.details = {"from": OLD, "to": "there"}
    moving.connect()
    assert orders(moving) == 1
    assert moving.move.destination == "there"


REFUSED: Mapping[str, tuple[Mapping[str, object], str]] = {
    "elsewhere": (move("elsewhere"), "move-not-allowed: 'elsewhere' is not in `move.allowed`."),
    "a name in two lines": (move("the\nre"), "move-not-allowed"),
    "an empty name": (move(""), "move-not-allowed"),
    "where it is": (move("here"), "moved-already: this device is already at here."),
    "a number": (move(5), "move-invalid: `to` does not name"),
    "null": (move(None), "move-invalid: `to` does not name"),
    "a list": (move(["there"]), "move-invalid: `to` does not name"),
    "no destination": ({"operation": "move"}, "move-invalid: `to` does not name"),
    "whence alone": ({"operation": "move", "from": OLD}, "move-invalid: an order contains only a destination"),
    "a long name of a member": ({**move(), "x" * 65: 1}, "this one has `" + "x" * 64 + " … (65 bytes)`"),
    "a long name": (move("x" * 65), "'" + "x" * 64 + " … (65 bytes)'"),
    "an address": ({**move(), "endpoint": "evil.example"}, "this one has `endpoint`"),
    "what a rotation says": ({**move(), "from": OLD}, "this one has `from`"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "why"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("details", [{}, {"from": OLD}, {"from": OLD, "to": "there"}])
def test_a_job_that_is_no_order_to_move_fails_and_neither_moves_nor_rotates(
    moving: Device, document: Mapping[str, object], why: str, details: dict[str, str]
) -> None:
    job = moving.cloud.create("j1", document)
    job.details = details
    moving.connect()
    assert orders(moving) == 0
    ((status, said),) = job.said
    assert status == "FAILED"
    assert why in said["reason"]


@pytest.mark.parametrize("details", [{"from": OLD}, {"from": OLD, "to": "elsewhere"}])
def test_a_job_whose_details_say_another_thing_is_begun_as_its_document_says(
    moving: Device, details: dict[str, str]
) -> None:
    job = moving.cloud.create("j1", move())
    job.details = details
    moving.connect()
    assert orders(moving) == 1
    assert job.said == [("IN_PROGRESS", {"from": OLD, "to": "there"})]
    assert moving.move is not None
    assert moving.move.destination == "there"


def test_a_message_moves_to_a_destination_by_its_name_alone() -> None:
    clock = FakeClock()
    operation = rotation.MoveOperation(credential(), MOVES)
    topic = MoveTopic(credential(proven=clock.wall()), "cmd/pump-7/move", clock, operation)

    def moves(document: object, **more: bool) -> bool:
        payload = json.dumps(document).encode()
        arriving = Arriving(topic="cmd/pump-7/move", payload=payload, **more)  # type: ignore[arg-type]
        return topic.take(arriving) is Receipt.ROTATE

    assert topic.take(Arriving(topic="cmd/pump-7/rotate")) is Receipt.NOT_OURS
    assert topic.take(Arriving(topic="cmd/pump-7/move", payload=b"[" * 100_000)) is Receipt.TAKEN
    others: tuple[object, ...] = (
        None,
        {},
        [],
        "there",
        5,
        *(given for given, _ in REFUSED.values()),
    )
    assert not any(moves(document) for document in others)
    assert not moves({"to": "there"}, retain=True)
    before = operation.destination
    assert before is None
    assert moves({"to": "there"})
    assert operation.destination == "there"
    topic.failed(FAILURE)
    assert not moves({"to": "there"}), "the same, delivered again"
    clock.go(rotation.PAUSE_FAILED)
    assert moves({"to": "there"})
