"""A conversation with the sandbox: what is asked and heard, and a session that goes on in other hands."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.credentials.store import Store
from fleet_agent.errors import NotAllowedError
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.session.conversation import Conversation
from fleet_agent.session.events import Connected, Message
from fleet_agent.session.message import Outgoing
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import Route
from support.agent import Agent
from support.aws import aws_client
from support.fleets import Fleet


class Device:
    """A provisioned device, without an agent."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        agent = Agent(fleet, folder)
        assert agent.provision().status == 0
        self.fleet, self.name, self.clock = fleet, agent.thing_name, SystemClock()
        self.mailbox = Mailbox(self.clock)
        store = Store(agent.state_dir, self.clock)
        credential = store.current()
        assert credential is not None
        self.pair = store.key_pair(credential.generation)

    def conversation(self, client_id: str | None = None) -> Conversation:
        sandbox = self.fleet.sandbox
        route = Route(
            host=sandbox.endpoint,
            port=sandbox.mqtt_port,
            ca_file=str(sandbox.ca_file),
            proxy=None,
        )
        name = client_id or self.name
        session = Session(route, self.pair, name, self.mailbox, is_thing=True)
        return Conversation(session, self.mailbox, self.clock)


@pytest.fixture
def device(fleet: Fleet, tmp_path: Path) -> Device:
    return Device(fleet, tmp_path)


def test_a_session_that_goes_on_after_it_was_released(device: Device) -> None:
    conversation = device.conversation()
    conversation.start()
    conversation.connect()
    topic = f"cmd/{device.name}/now"
    conversation.session.subscribe([(topic, 1)])
    granted = conversation.granted([topic])
    assert isinstance(granted, dict)
    assert granted[topic] == 1
    aws_client(device.fleet.sandbox, "iot-data").publish(topic=topic, qos=1, payload=b"go")
    assert conversation.receives_below(f"cmd/{device.name}", 10.0)
    # What comes meanwhile does not disturb it.
    assert conversation.publish(Outgoing(topic=f"dt/{device.name}/test", payload=b"1")) in (0, 16)

    session = conversation.release()
    try:
        until = device.clock.monotonic() + 10.0
        first, second = device.mailbox.wait(until), device.mailbox.wait(until)
        assert isinstance(first, Connected)
        assert isinstance(second, Message)
        assert (second.topic, second.payload) == (topic, b"go")
        second.acknowledge()
        other = Conversation(session, device.mailbox, device.clock)
        message = Outgoing(topic=f"dt/{device.name}/test", payload=b"2")
        assert other.publish(message) in (0, 16)
    finally:
        session.close()


def test_why_it_does_not_open(device: Device) -> None:
    conversation = device.conversation("another")
    conversation.start()
    with pytest.raises(NotAllowedError, match="client/another"):
        conversation.connect()
    conversation.close()


def test_an_end_before_the_answer(device: Device) -> None:
    """Another client takes the session over: whoever waits hears of it, with its code."""
    conversation, twin = device.conversation(), device.conversation()
    conversation.start()
    conversation.connect()
    twin.start()
    answer = conversation.ask(Future, [f"cmd/{device.name}/never"], 10.0)
    assert str(answer) == "DISCONNECT 142, session taken over"
    conversation.close()
    twin.close()
