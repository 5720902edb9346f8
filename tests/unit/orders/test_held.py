"""What comes when no more may wait is held: not acknowledged, so that AWS keeps it."""

from fleet_agent.config.handlers import ExecHandler
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.orders import held
from fleet_agent.orders.order import Order
from unit.orders.conftest import Bench


def catting(max_waiting: int = 1, deduplicate: str | None = None) -> Subscription:
    """A handler that does one after the other."""
    return Subscription(
        topic="cmd",
        name="h",
        exec=ExecHandler(argv=("cat",), max_waiting=max_waiting),
        deduplicate=deduplicate,
    )


def test_what_finds_no_place_is_acknowledged_when_its_turn_comes(bench: Bench) -> None:
    acknowledged: list[int] = []
    bench.listen(catting())
    for number in range(20):
        bench.send(
            "cmd", b"%d" % number, acknowledge=lambda number=number: acknowledged.append(number)
        )
    assert acknowledged == [0, 1]
    assert bench.counters().held == 18
    said = [answer.said["stdout"] for answer in bench.answered(20)]
    assert said == [str(number) for number in range(20)]
    assert acknowledged == list(range(20))
    assert (bench.counters().handled, bench.counters().refused, bench.counters().held) == (
        20,
        0,
        0,
    )


def test_what_is_held_when_the_connection_ends_comes_again_and_is_done_once(bench: Bench) -> None:
    acknowledged: list[str] = []
    bench.listen(catting())

    def send(numbers: range, how: str) -> None:
        for number in numbers:
            bench.send("cmd", b"%d" % number, acknowledge=lambda: acknowledged.append(how))

    send(range(5), "first")
    bench.registry.disconnected()
    assert bench.counters().held == 0
    send(range(2, 5), "again")
    assert [answer.said["stdout"] for answer in bench.answered(5)] == ["0", "1", "2", "3", "4"]
    assert acknowledged == ["first"] * 2 + ["again"] * 3


def test_one_that_comes_twice_while_it_is_held_is_acknowledged_twice_and_done_once(
    bench: Bench,
) -> None:
    acknowledged: list[str] = []
    bench.listen(catting(deduplicate="property:id"))
    for name in ("a", "b", "c", "c"):
        bench.send(
            "cmd",
            name.encode(),
            user_properties=(("id", name),),
            acknowledge=lambda name=name: acknowledged.append(name),
        )
    assert acknowledged == ["a", "b"]
    assert [answer.said["stdout"] for answer in bench.answered(3)] == ["a", "b", "c"]
    assert acknowledged == ["a", "b", "c", "c"]


def test_what_is_held_has_a_bound(bench: Bench) -> None:
    bench.listen(Subscription(topic="cmd", name="h", exec=ExecHandler(argv=("sleep", "60"))))
    payload = bytes(64 * 1024)
    places = held.HELD_BYTES // len(payload)
    waiting = ExecHandler(argv=("x",)).max_waiting
    for _ in range(1 + waiting + places + 1):
        bench.send("cmd", payload)
    assert bench.answered()[0].said["error"] == "busy"
    assert (bench.counters().held, bench.counters().refused) == (places, 1)


def test_a_retained_message_is_done_only_where_that_is_wanted(bench: Bench) -> None:
    acknowledged: list[int] = []
    argv = ExecHandler(argv=("cat",))
    bench.listen(
        Subscription(topic="a", name="h", exec=argv),
        Subscription(topic="b", exec=argv, retained=True),
    )
    bench.send("a", b"old", retain=True, acknowledge=lambda: acknowledged.append(1))
    bench.send("b", b"kept", retain=True)
    assert [answer.said["stdout"] for answer in bench.answered(1)] == ["kept"]
    assert (acknowledged, bench.counters().handled) == ([1], 0)


def test_bytes_of_what_left_are_free_again_and_an_identity_is_held_no_more() -> None:
    """Whichever way it leaves: in its turn, canceled, or with the connection."""
    found = held.HeldOrders()
    third = held.HELD_BYTES // 3
    for number in range(3):
        found.add(Order(payload=bytes(third), identity=f"id {number}"), lambda: None)
    rest = held.HELD_BYTES - 3 * third
    assert (found.has_room(rest), found.has_room(rest + 1), len(found)) == (True, False, 3)
    found.drop("id 1")
    found.drop("id 1")
    assert (found.has_room(rest + third), found.has_room(rest + third + 1)) == (True, False)
    assert [found.has(f"id {number}") for number in range(3)] == [True, False, True]
    assert found.first().order.identity == "id 0"
    assert not found.has("id 0")
    assert found.has_room(rest + 2 * third)
    found.add(Order(payload=b"of nobody"), lambda: None)
    found.clear()
    assert (len(found), found.has("id 2")) == (0, False)
    assert (found.has_room(held.HELD_BYTES), found.has_room(held.HELD_BYTES + 1)) == (True, False)
