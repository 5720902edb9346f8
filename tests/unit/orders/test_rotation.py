"""Orders to rotate: which messages are orders, and what a job is answered, whatever comes twice or is refused."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fleet_agent.clock import uptime
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import AgentError, UnreachableError
from fleet_agent.orders import rotation
from fleet_agent.orders.rotation import Moves, Orders, Receipt
from fleet_agent.session.message import Outgoing
from support.clock import FakeClock

JOBS = "$aws/things/pump-7/jobs"
OLD, NEW = "a" * 64, "b" * 64


@dataclasses.dataclass
class Arrived:
    topic: str
    payload: bytes = b"{}"
    retain: bool = False
    acknowledge: Callable[[], None] = lambda: None


class Device:
    """One process of the agent with this certificate."""

    def __init__(
        self,
        certificate: str = OLD,
        *,
        failure: AgentError | None = None,
        clock: FakeClock | None = None,
        proven: float = 0.0,
    ) -> None:
        self.clock = clock or FakeClock()
        self.sent: list[tuple[str, dict[str, Any]]] = []
        credential = Credential(
            generation=1,
            certificate_id=certificate,
            certificate_file="c",
            private_key_file="k",
            thing_name="pump-7",
            device_configuration={},
            endpoint="e",
            template="t",
            is_proven=True,
            proven=proven,
        )
        self.orders = Orders(
            credential=credential,
            topic="cmd/pump-7/rotate",
            takes_jobs=True,
            moves=Moves(names=("there",), takes_jobs=True, topic="cmd/pump-7/move"),
            send=self._send,
            clock=self.clock,
        )
        if failure is not None:
            self.orders.failed(failure)

    def _send(self, message: Outgoing) -> None:
        self.sent.append((message.topic.removeprefix(f"{JOBS}/"), json.loads(message.payload)))

    def hears(self, topic: str, document: object = None, *, retain: bool = False) -> bool:
        """Whether it is an order; one on the topic is not acknowledged before it is carried out."""
        acknowledged: list[bool] = []
        payload = json.dumps(document).encode()
        receipt = self.orders.take(
            Arrived(topic, payload, retain, lambda: acknowledged.append(True))
        )
        assert receipt is not Receipt.NOT_OURS
        is_order = receipt is Receipt.ROTATE
        assert bool(acknowledged) is (topic.startswith(JOBS) or not is_order)
        return is_order

    def destination(self) -> str | None:
        return self.orders.destination

    def job(
        self,
        status: str,
        details: Mapping[str, str] | None = None,
        **document: str,
    ) -> bool:
        execution = {
            "jobId": "j1",
            "status": status,
            "jobDocument": {"operation": "rotate-credential", **document},
            "statusDetails": details,
        }
        return self.hears(f"{JOBS}/notify-next", {"execution": execution})

    def accepted(self, status: str, details: Mapping[str, str]) -> bool:
        state = {"status": status, "statusDetails": details}
        return self.hears(f"{JOBS}/j1/update/accepted", {"executionState": state})


def update(status: str, **details: str) -> tuple[str, dict[str, Any]]:
    return "j1/update", {
        "status": status,
        "statusDetails": details,
        "includeJobExecutionState": True,
    }


def test_a_job_is_begun_only_once_aws_has_noted_from_what() -> None:
    device = Device()
    assert not device.job("QUEUED")
    assert device.sent == [update("IN_PROGRESS", **{"from": OLD})]
    assert device.accepted("IN_PROGRESS", {"from": OLD})


def test_a_job_whose_update_is_refused_is_never_begun() -> None:
    device = Device()
    for _ in range(3):  # delivered again after each connect
        assert not device.job("QUEUED")
        assert not device.hears(f"{JOBS}/j1/update/rejected", {"code": "InvalidRequest"})


def test_with_the_new_certificate_the_job_has_succeeded() -> None:
    device = Device(NEW)
    assert not device.job("IN_PROGRESS", {"from": OLD})
    assert device.sent == [update("SUCCEEDED", **{"from": OLD, "certificate": NEW})]
    assert not device.accepted("SUCCEEDED", {"from": OLD, "certificate": NEW})


def test_a_restart_in_the_middle_goes_on() -> None:
    device = Device()
    assert device.job("IN_PROGRESS", {"from": OLD})
    assert device.sent == []


def test_failure_is_reported_once_and_not_tried_again() -> None:
    failure = UnreachableError("No way.", remedy="Wait.", code="gone")
    device = Device(failure=failure)
    assert not device.job("IN_PROGRESS", {"from": OLD})
    assert device.sent == [update("FAILED", **{"from": OLD, "reason": "gone: No way."})]
    assert not device.accepted("FAILED", {"from": OLD})
    assert not device.job("QUEUED")  # the next job has its own chance
    assert device.accepted("IN_PROGRESS", {"from": OLD})


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{", b'{"execution": {"jobId": 1}}', b"\xff" * 9]
)
def test_what_is_no_job_orders_nothing(payload: bytes) -> None:
    device = Device()
    for topic in ("notify-next", "$next/get/accepted", "j1/update/accepted"):
        assert device.orders.take(Arrived(f"{JOBS}/{topic}", payload)) is Receipt.TAKEN
    assert not device.job("QUEUED", operation="reboot")
    assert device.sent == []


@pytest.mark.parametrize("job", ["+/x", "a/b", "a\n", "", "\ud800", "x" * 70_000, "é", None, 1])
def test_an_id_cannot_lead_to_another_topic(job: object) -> None:
    device = Device()
    execution = {
        "jobId": job,
        "status": "QUEUED",
        "jobDocument": {"operation": "rotate-credential"},
    }
    assert not device.hears(f"{JOBS}/notify-next", {"execution": execution})
    assert device.sent == []


def test_a_clock_that_is_set_orders_no_second_rotation() -> None:
    clock = FakeClock()
    device = Device(NEW, clock=clock, proven=clock.wall())
    credential = dataclasses.replace(device.orders._credential, uptime=uptime(clock))
    device.orders.rotated(credential)
    clock.go(60)
    for step in (-1e6, 2e7):
        clock.now += step
        assert not device.hears("cmd/pump-7/rotate")
    clock.go(rotation.PAUSE)
    assert device.hears("cmd/pump-7/rotate")


def test_messages_that_are_retained_or_repeated_do_not_loop() -> None:
    clock = FakeClock()
    old = clock.wall() - 3600
    assert Device(clock=clock, proven=old).hears("cmd/pump-7/rotate")
    assert not Device(clock=clock, proven=old).hears("cmd/pump-7/rotate", retain=True)
    assert not Device(NEW, clock=clock, proven=clock.wall()).hears("cmd/pump-7/rotate")
    failure = UnreachableError("No way.", remedy="Wait.", code="gone")
    after = Device(failure=failure, clock=clock, proven=old)
    assert not after.hears("cmd/pump-7/rotate")
    clock.go(rotation.PAUSE_FAILED)
    assert after.hears("cmd/pump-7/rotate")


def test_an_update_that_comes_again_after_a_failure_is_no_second_order() -> None:
    device = Device(failure=UnreachableError("No way.", remedy="Wait.", code="gone"))
    assert not device.accepted("IN_PROGRESS", {"from": OLD})
    assert not device.job("IN_PROGRESS", {"from": OLD})
    assert device.sent == [update("FAILED", **{"from": OLD, "reason": "gone: No way."})]


def test_a_job_moves_once_aws_has_noted_from_what_and_where_to() -> None:
    device = Device()
    assert not device.job("QUEUED", operation="move", to="there")
    assert device.sent == [update("IN_PROGRESS", **{"from": OLD, "to": "there"})]
    assert device.accepted("IN_PROGRESS", {"from": OLD, "to": "there"})
    assert device.destination() == "there"
    (last,) = device.orders.moved()
    assert last.topic == f"{JOBS}/j1/update"
    assert json.loads(last.payload)["status"] == "SUCCEEDED"
    assert device.orders.moved() == [], "once"


def test_a_rotation_after_a_move_that_failed_is_no_move() -> None:
    device = Device()
    assert device.job("IN_PROGRESS", {"from": OLD, "to": "there"}, operation="move", to="there")
    assert device.destination() == "there"
    device.orders.failed(UnreachableError("No way.", remedy="Wait.", code="gone"))
    assert not device.job("IN_PROGRESS", {"from": OLD}, operation="move", to="there")
    assert device.sent[-1][1]["status"] == "FAILED"
    assert device.job("IN_PROGRESS", {"from": OLD})
    assert device.destination() is None
    assert device.orders.moved() == []


@pytest.mark.parametrize("to", ["elsewhere", 5, None, ["there"], "the\nre", ""])
def test_a_job_to_where_nobody_allowed_fails_and_moves_nothing(to: Any) -> None:
    device = Device()
    assert not device.job("QUEUED", operation="move", to=to)
    ((_, document),) = device.sent
    assert document["status"] == "FAILED"
    assert document["statusDetails"]["reason"].startswith("move-not-allowed")
    # Nor do details that somebody else wrote.
    assert not device.accepted("IN_PROGRESS", {"from": OLD, "to": to})


def test_a_message_moves_to_a_destination_by_its_name_alone() -> None:
    device = Device(proven=1.8e9)
    others: tuple[Any, ...] = (None, {}, [], "there", {"to": "elsewhere"}, {"to": None})
    for document in others:
        assert not device.hears("cmd/pump-7/move", document)
    assert not device.hears("cmd/pump-7/move", {"to": "there"}, retain=True)
    assert device.destination() is None
    assert device.hears("cmd/pump-7/move", {"to": "there", "endpoint": "evil.example"})
    assert device.destination() == "there"
    device.orders.failed(UnreachableError("No way.", remedy="Wait.", code="gone"))
    assert not device.hears("cmd/pump-7/move", {"to": "there"}), "the same, delivered again"
    device.clock.go(rotation.PAUSE_FAILED)
    assert device.hears("cmd/pump-7/move", {"to": "there"})
