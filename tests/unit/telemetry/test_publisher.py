"""The publisher over a wire that acknowledges, refuses and breaks as it likes."""

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fleet_agent.session.mqtt import NOT_AUTHORIZED, Published, Session
from fleet_agent.telemetry.publisher import CAPACITY, WINDOW, Outgoing, Publisher


class Wire(Session):
    """The network in the place of a connection: holds what was published until the test decides."""

    def __init__(self) -> None:
        self.flying: list[tuple[str, bytes, object]] = []
        self.carried: list[bytes] = []

    def publish(self, topic: str, payload: bytes, tag: object = None) -> None:
        self.flying.append((topic, payload, tag))
        self.carried.append(payload)

    def answer(self, index: int, code: int | None) -> Published:
        topic, _, tag = self.flying.pop(index)
        error = "" if code is not None else "the connection ended"
        return Published(session=self, topic=topic, tag=tag, reason_code=code, error=error)


def outgoing(number: int, topic: str = "dt/pump/system") -> Outgoing:
    return Outgoing(topic=topic, payload=str(number).encode())


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def publisher(wire: Wire) -> Publisher:
    return Publisher(wire)


def test_nothing_is_sent_before_the_connection_stands(publisher: Publisher, wire: Wire) -> None:
    publisher.put(outgoing(1))
    assert wire.flying == []
    publisher.connected()
    assert wire.carried == [b"1"]
    assert publisher.waiting == 1
    publisher.published(wire.answer(0, 0))
    assert (publisher.waiting, publisher.acknowledged) == (0, 1)


def test_no_subscriber_is_no_failure(publisher: Publisher, wire: Wire) -> None:
    publisher.connected()
    publisher.put(outgoing(1))
    publisher.published(wire.answer(0, 16))
    assert publisher.acknowledged == 1


def test_a_window_that_is_lost_goes_up_again_in_its_order(
    publisher: Publisher, wire: Wire
) -> None:
    publisher.connected()
    for number in range(WINDOW + 5):
        publisher.put(outgoing(number))
    publisher.published(wire.answer(3, 0))
    publisher.disconnected()
    while wire.flying:
        publisher.published(wire.answer(len(wire.flying) // 2, None))
    wire.carried.clear()
    publisher.connected()
    while wire.flying:
        publisher.published(wire.answer(0, 0))
    expected = [str(number).encode() for number in range(WINDOW + 5) if number != 3]
    assert wire.carried == expected


def test_a_refused_topic_is_counted_and_named(publisher: Publisher, wire: Wire) -> None:
    publisher.connected()
    publisher.put(outgoing(1, "dt/forbidden"))
    publisher.published(wire.answer(0, NOT_AUTHORIZED))
    assert (publisher.dropped, publisher.refused_topic) == (1, "dt/forbidden")
    publisher.put(outgoing(2))
    publisher.published(wire.answer(0, 0))
    assert publisher.refused_topic is None


def test_a_message_that_is_refused_for_another_reason(publisher: Publisher, wire: Wire) -> None:
    publisher.connected()
    publisher.put(outgoing(1))
    publisher.published(wire.answer(0, 151))
    assert (publisher.dropped, publisher.refused_topic, publisher.waiting) == (1, None, 0)


def test_an_answer_to_something_else_changes_nothing(publisher: Publisher, wire: Wire) -> None:
    publisher.connected()
    publisher.put(outgoing(1))
    publisher.published(Published(session=wire, topic="t", tag=None, reason_code=0, error=""))
    answer = wire.answer(0, 0)
    publisher.published(answer)
    publisher.published(answer)
    assert (publisher.waiting, publisher.acknowledged) == (0, 1)


def test_too_many_wait_and_the_oldest_goes_first(publisher: Publisher, wire: Wire) -> None:
    for number in range(CAPACITY + 3):
        publisher.put(outgoing(number))
    assert (publisher.waiting, publisher.dropped) == (CAPACITY, 3)
    publisher.connected()
    assert wire.carried[0] == b"3"


class Traffic(RuleBasedStateMachine):
    """Readings come, PUBACKs come, the connection comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()
        self.publisher = Publisher(self.wire)
        self.put = 0
        self.is_connected = False

    @rule(count=some.sampled_from([1, 2, WINDOW, CAPACITY]))
    def readings_come(self, count: int) -> None:
        for _ in range(count):
            self.put += 1
            self.publisher.put(outgoing(self.put))

    @precondition(lambda self: self.wire.flying)
    @rule(
        index=some.integers(0, WINDOW), code=some.sampled_from([0, 16, NOT_AUTHORIZED, 128, None])
    )
    def an_answer_comes(self, index: int, code: int | None) -> None:
        self.publisher.published(self.wire.answer(index % len(self.wire.flying), code))

    @precondition(lambda self: not self.is_connected)
    @rule()
    def connected(self) -> None:
        self.is_connected = True
        self.publisher.connected()

    @precondition(lambda self: self.is_connected)
    @rule(told_first=some.booleans())
    def disconnected(self, told_first: bool) -> None:
        self.is_connected = False
        if told_first:
            self.publisher.disconnected()
        # what flew is given back; told after, the publisher tries some of it again meanwhile
        for _ in range(len(self.wire.flying)):
            self.publisher.published(self.wire.answer(0, None))
        self.publisher.disconnected()

    @invariant()
    def never_more_than_the_window_is_out(self) -> None:
        assert len(self.wire.flying) <= WINDOW

    @invariant()
    def nothing_is_lost_but_what_is_counted(self) -> None:
        it = self.publisher
        assert it.acknowledged + it.dropped + it.waiting == self.put

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.publisher.waiting <= CAPACITY + WINDOW

    def teardown(self) -> None:
        self.publisher.connected()
        self.wire.carried.clear()
        while self.wire.flying:
            self.publisher.published(self.wire.answer(0, 0))
        assert self.publisher.waiting == 0
        sent = [int(payload) for payload in self.wire.carried]
        assert sent == sorted(sent)


def test_whatever_the_network_does_nothing_is_lost_uncounted() -> None:
    run_state_machine_as_test(
        Traffic, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
