"""Everything that comes down, given to who takes it; and who hears how an order of the agent's own went."""

import json
import math
from pathlib import Path

import pytest

from fleet_agent.config.handlers import ExecHandler, Handler, SocketHandler
from fleet_agent.config.orders import Commands as CommandSettings
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.errors import UnreachableError
from fleet_agent.orders import commands
from fleet_agent.orders.commands import Commands
from fleet_agent.orders.filters import Moves
from fleet_agent.orders.order import COMMAND
from fleet_agent.orders.rotation import MoveOperation, MoveTopic, OrderTopic
from fleet_agent.orders.router import Orders, Receipt
from fleet_agent.session.message import Outgoing
from unit.orders.conftest import Arriving, Bench, Program
from unit.orders.device import credential

COMMANDS = "$aws/commands/things/pump-7/executions"


class Down:
    """All that comes down to one device: commands, orders to rotate and to move, and a handler for the rest."""

    def __init__(self, bench: Bench, program: Program) -> None:
        self.bench = bench
        self.sent: list[Outgoing] = []
        self.acknowledged: list[str] = []
        bench.handlers = {
            "ask": Handler(socket=SocketHandler(path=str(program.path), max_waiting=0))
        }
        bench.listen(Subscription(topic="cmd", handler="ask", log=True))
        settings = CommandSettings(enabled=True, handler="ask")
        taken = Commands(settings, "pump-7", bench.registry.named, self.sent.append, bench.clock)
        bench.shared.reporters[COMMAND] = taken
        self.move = MoveOperation(credential(), Moves(names=("there",)))
        rotate = OrderTopic(credential(), "rotate", bench.clock)
        move = MoveTopic(credential(), "move", bench.clock, self.move)
        self.orders = Orders(
            [taken, rotate, move],
            bench.messages,
            bench.registry,
            [self.move, rotate, move],
            self.move,
        )

    def take(self, topic: str, payload: object = None) -> Receipt:
        return self.orders.take(
            Arriving(
                topic=topic,
                payload=json.dumps(payload).encode(),
                acknowledge=lambda: self.acknowledged.append(topic),
            )
        )


@pytest.fixture
def down(bench: Bench, program: Program) -> Down:
    return Down(bench, program)


def test_each_message_goes_to_who_takes_it(down: Down, program: Program) -> None:
    assert down.take("rotate") is Receipt.ROTATE
    assert down.take("move", {"to": "nowhere"}) is Receipt.TAKEN
    assert down.take("move", {"to": "there"}) is Receipt.ROTATE
    assert down.take("elsewhere") is Receipt.TAKEN
    assert down.take("cmd", 1) is Receipt.TAKEN
    assert down.take("cmd", 2) is Receipt.HELD
    assert down.take(f"{COMMANDS}/e-1/request", 3) is Receipt.HELD
    assert down.acknowledged == ["move", "elsewhere", "cmd"]
    connection, packet = program.accept()
    connection.close()
    assert packet["payload"] == "1"
    assert down.orders.is_logged("cmd")
    assert not down.orders.is_logged("elsewhere")
    assert down.orders.registry is down.bench.registry
    assert down.orders.last is down.bench.shared.last


def test_a_destination_is_taken_once(down: Down) -> None:
    assert down.orders.take_destination() is None
    down.take("move", {"to": "there"})
    assert down.orders.take_destination() == "there"
    assert down.orders.take_destination() is None
    assert down.orders.moved() == [], "no job asked for it"
    down.move.carry_out("j1", {"from": "a", "to": "there"})
    assert [message.topic for message in down.orders.moved()] == [
        "$aws/things/pump-7/jobs/j1/update"
    ]


def test_where_no_move_is_allowed_there_is_none(bench: Bench) -> None:
    bench.listen(Subscription(topic="cmd"))
    orders = Orders([], bench.messages, bench.registry, [], None)
    assert (orders.take_destination(), orders.moved(), orders.due) == (None, [], math.inf)


@pytest.mark.parametrize("how", ["rotated", "failed"])
def test_who_orders_hears_how_it_went(down: Down, how: str) -> None:
    if how == "rotated":
        down.orders.rotated(credential("b" * 64, proven=down.bench.clock.wall()))
        down.move.carry_out("j1", {"from": "a", "to": "there"})
        (last,) = down.orders.moved()
        assert json.loads(last.payload)["statusDetails"] == {"from": "b" * 64, "moved": "yes"}
    else:
        down.orders.failed(UnreachableError("No way.", remedy="Wait.", code="gone"))
    assert down.take("rotate") is Receipt.TAKEN, "a moment ago"


def test_the_end_of_a_connection_is_everybodys(down: Down, program: Program) -> None:
    down.orders.connected()
    down.take(f"{COMMANDS}/e-1/request")
    down.take("cmd", 1)
    down.take("cmd", 2)
    assert down.bench.counters("ask").held == 2
    assert down.orders.due - down.bench.clock.monotonic() == pytest.approx(commands.SOON, abs=0.1)
    down.bench.clock.go(commands.SOON)
    down.orders.act()
    assert [json.loads(message.payload)["status"] for message in down.sent] == ["IN_PROGRESS"]
    down.orders.disconnected()
    assert down.bench.counters("ask").held == 0
    # The program's time, which goes on.
    assert down.orders.due - down.bench.clock.monotonic() == pytest.approx(9, abs=0.2)
    down.bench.clock.go(9)
    down.orders.act()
    assert down.bench.counters("ask").last_error == f"{program.path} did not answer within 10 s"


def test_at_the_end_programs_are_ended(bench: Bench, tmp_path: Path) -> None:
    argv = ("sh", "-c", f"touch {tmp_path}/pid; exec sleep 60")
    bench.listen(Subscription(topic="cmd", exec=ExecHandler(argv=argv)))
    orders = Orders([], bench.messages, bench.registry, [], None)
    orders.take(Arriving(topic="cmd"))
    bench.turn((tmp_path / "pid").exists)
    orders.close()
    assert bench.answered()[0].said["error"] == "stopped"
