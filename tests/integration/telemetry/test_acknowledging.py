"""A message of QoS 1 is AWS's until the agent acknowledges it, over real TLS and MQTT 5."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.credentials.store import Store
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.session.events import Message, Subscribed
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import Route
from support.agent import Agent
from support.fleets import Fleet
from support.operators import operating

LIMIT = 90.0  # AWS, and the sandbox, send again after 30 s

T = TypeVar("T")


@contextmanager
def listening(agent: Agent, mailbox: Mailbox) -> Iterator[Session]:
    sandbox = agent.fleet.sandbox
    store = Store(agent.state_dir, SystemClock())
    credential = store.current()
    assert credential is not None
    session = Session(
        Route(
            host=sandbox.endpoint,
            port=sandbox.mqtt_port,
            ca_file=str(sandbox.ca_file),
            proxy=None,
        ),
        store.key_pair(credential.generation),
        credential.client_id,
        mailbox,
        filters=[(f"cmd/{agent.thing_name}/#", 1)],
        is_thing=True,
    )
    session.start()
    try:
        yield session
    finally:
        session.close()


def subscribed(mailbox: Mailbox) -> None:
    """Waits until the subscription stands; nothing was sent before."""
    _until(mailbox, Subscribed)


def received(mailbox: Mailbox, count: int) -> list[Message]:
    """The next so many messages."""
    return [_until(mailbox, Message) for _ in range(count)]


def _until(mailbox: Mailbox, kind: type[T]) -> T:
    limit = SystemClock().monotonic() + LIMIT
    while not isinstance(event := mailbox.wait(limit), kind):
        assert event is not None, f"no {kind.__name__}"
    return event


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(
    fleet: Fleet, tmp_path: Path
) -> None:
    agent = Agent(fleet, tmp_path)
    assert agent.provision().status == 0
    mailbox = Mailbox(SystemClock())
    topic = f"cmd/{agent.thing_name}/x"
    with operating(fleet, tmp_path / "operator") as operator:

        def exchange(name: bytes) -> Message:
            operator.send(topic, name)
            (found,) = received(mailbox, 1)
            assert found.payload == name
            return found

        with listening(agent, mailbox):
            subscribed(mailbox)
            first = [exchange(name) for name in (b"a", b"b", b"c")]
            first[0].acknowledge()
            exchange(b"d")
            exchange(b"e")
            # The SDK sends an acknowledgement a moment later.
            assert mailbox.wait(SystemClock().monotonic() + 1.0) is None
        with listening(agent, mailbox):
            again = received(mailbox, 4)
            assert [item.payload for item in again] == [b"b", b"c", b"d", b"e"]
            first[1].acknowledge()  # of a connection that has ended: nothing happens
            again[0].acknowledge()
            exchange(b"f")
