"""The agent at a server that answers with every reason code that MQTT 5 has, and with some that it has not.

Whatever comes, the agent lives, spends no processor time on it, names the code, and its readings arrive afterwards.
"""

import pytest

from hostile.running import CONNECT_AGAIN, Running, Spent, Start, arrives, listening
from support.agent import until
from support.packets import Publish
from support.scripted import SILENCE, End, Script, Server

# Names of MQTT 5 and numbers that nobody gave a name.
UNKNOWN = (77, 200)
UNKNOWN_THERE = (("DISCONNECT", 140), ("PUBACK", 149))  # to the SDK
CONNACKS = (
    *(128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 140, 144, 149, 151, 153, 154, 155),
    *(156, 157, 159, *UNKNOWN),
)
DISCONNECTS = (
    *(0, 4, 128, 129, 130, 131, 135, 137, 139, 140, 141, 142, 143, 144, 147, 148, 149, 150, 151),
    *(152, 153, 154, 155, 156, 157, 158, 159, 160, 161, 162, *UNKNOWN),
)
SUBACKS = (128, 131, 135, 143, 145, 151, 158, 161, 162, *UNKNOWN)
PUBACKS = (128, 131, 135, 144, 145, 151, 153, 149, *UNKNOWN)

# The SDK takes a CONNACK below 128 for a success; that the server then closes is all there is to say.
ACCEPTED = "The connection ended"

# Asked again they would be refused again: the topic or the filter is wrong.
FOR_GOOD = (143, 144, 153, 158, 162)


# A policy that does not allow it is said as its action, with the statement to paste.
_ACTIONS = {"CONNACK": "iot:Connect", "SUBACK": "iot:Subscribe", "PUBACK": "iot:Publish"}


def named(packet: str, code: int) -> str:
    """What words about a code begin with; the SDK keeps one that it does not know to itself."""
    if code == 135 and packet in _ACTIONS:
        return _ACTIONS[packet]
    is_unknown = code in UNKNOWN or (packet, code) in UNKNOWN_THERE
    return f"{packet} with a reason code" if is_unknown else f"{packet} {code}"


# CONNACK and DISCONNECT ----------------------------------------------------------------------------------------------

SOME = [(135, 135), (137, 151), (154, 149), (200, 77), (159, None), (128, 144)]
ALL = [(CONNACKS[index % len(CONNACKS)], DISCONNECTS[index]) for index in range(len(DISCONNECTS))]


def refused_and_thrown_out(
    server: Server, start: Start, pairs: list[tuple[int, int | None]]
) -> None:
    """A connection that is refused with the one code, and thrown out three times with the other."""
    names = {f"p{connack}-{code}": (connack, code) for connack, code in pairs}
    for name, (connack, _) in names.items():
        server.script(name, Script(connack=connack, why="words of the server"))
    refused = start(*names, **listening("x"))
    agents = list(refused)

    def go_on() -> bool:
        """Each as soon as its own refusal is told: the next one would have it wait twice as long."""
        for agent in list(refused):
            connack, code = names[agent.name]
            if agent.said(ACCEPTED if connack < 128 else named("CONNACK", connack)):
                out = Script(then=End(code, "" if code is None else "words of the server"))
                server.script(agent.name, out, out, out, Script())
                refused.remove(agent)
        return not refused

    until(go_on, "each refusal to be told", 40)
    spent = [Spent(agent) for agent in agents]
    for agent in agents:
        _, code = names[agent.name]
        server.wait(
            lambda name=agent.name: server.ended.count(name) >= 3,  # type: ignore[misc]
            f"{agent.name} to come back each time it is thrown out",
            CONNECT_AGAIN,
        )
        arrives(agent)
        if code == 142:
            agent.wait_until_said("Another client")
        elif code is None:
            agent.wait_until_said("times")
        else:
            agent.wait_until_said("times", named("DISCONNECT", code), "words of the server")
    for each in spent:
        each.check()


@pytest.mark.timeout(300)
def test_refused_then_thrown_out_again_and_again(server: Server, start: Start) -> None:
    refused_and_thrown_out(server, start, SOME)


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
def test_refused_and_thrown_out_with_every_code(server: Server, start: Start, part: int) -> None:
    refused_and_thrown_out(server, start, list(ALL[part::4]))


def test_what_is_no_mqtt_ends_the_connection_and_nothing_else(
    server: Server, start: Start
) -> None:
    scripts = {
        "noise": Script(then=End(raw=b"\xff" * 64)),
        "early": Script(then=End(raw=b"\x20\x00"), after="connected"),
        "answer": Script(then=End(raw=b"\x90\x03\x7f\xff\x00")),
        "length": Script(then=End(raw=b"\x30\xff\xff\xff\xff\xff")),
        "closed": Script(then=End(), after="connected"),
    }
    for name, script in scripts.items():
        server.script(name, script, script, Script())
    agents = start(*scripts, **listening("x"))
    for agent in agents:
        agent.wait_connected()
        spent = Spent(agent)
        arrives(agent)
        spent.check()


# SUBACK --------------------------------------------------------------------------------------------------------------


def refused_then_granted(server: Server, start: Start, codes: tuple[int, ...]) -> None:
    """A filter that is refused twice is asked for until it is granted."""
    names = {f"p{code}": code for code in codes}
    for name, code in names.items():
        filters = {f"cmd/{name}/x": (code, code)}
        server.script(name, Script(subacks=filters, why="words of the server"))
    agents = start(*names, **listening("x", "y"))
    for agent in agents:
        agent.wait_until_said(named("SUBACK", names[agent.name]), f"cmd/{agent.name}/x")
    spent = [Spent(agent) for agent in agents]
    for agent in agents:
        asked = agent.name, f"cmd/{agent.name}/x"
        server.wait(
            lambda asked=asked: server.subscribed.count(asked) >= 3,  # type: ignore[misc]
            f"{asked[1]} to be asked for again",
            CONNECT_AGAIN,
        )
        arrives(agent)
        _until_well(agent)
        assert server.connections(agent.name) == 1
    for each in spent:
        each.check()


def _until_well(agent: Running) -> None:
    until(lambda: not agent.problems, f"{agent.problems} to be over")


def test_a_refused_subscription_is_asked_for_until_it_is_granted(
    server: Server, start: Start
) -> None:
    refused_then_granted(server, start, (151, 135, 128, 77, 200))


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_subscription_that_is_refused_with_any_code(server: Server, start: Start) -> None:
    codes = tuple(code for code in SUBACKS if code not in FOR_GOOD)
    refused_then_granted(server, start, codes)


def test_a_filter_that_aws_does_not_take_is_named_with_what_to_change(
    server: Server, start: Start
) -> None:
    filters = {"cmd/pump/wrong": (143,) * 100}
    server.script("pump", Script(subacks=filters))
    (pump,) = start("pump", **listening("wrong", "right"))
    problem = pump.wait_until_said("SUBACK 143", "cmd/pump/wrong")
    assert "subscriptions" in problem["remedy"]
    assert "Allow" not in problem["remedy"]  # it is no policy's fault
    arrives(pump)


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_subscription_that_is_never_answered_is_a_problem_and_asked_for_again(
    server: Server, start: Start
) -> None:
    server.script("pump", Script(subacks={"cmd/pump/x": (SILENCE, SILENCE)}))
    (pump,) = start("pump", **listening("x"))
    server.wait(lambda: server.subscribed, "the first request")
    spent = Spent(pump)
    problem = pump.wait_until_said("cmd/pump/x", seconds=60)
    assert "topic" not in problem["remedy"].lower()  # silence says nothing about the name
    server.wait(lambda: len(server.subscribed) >= 3, "to be asked for again", 150)
    arrives(pump)
    _until_well(pump)
    spent.check()


# PUBACK --------------------------------------------------------------------------------------------------------------


def readings_are_refused(server: Server, start: Start, codes: tuple[int, ...]) -> None:
    """A reading a code is refused once; those that may go later do, and the others keep nothing back."""
    topics = {f"dt/pump/{code}": (code,) for code in codes}
    server.script("pump", Script(pubacks=topics, why="words of the server"))
    (pump,) = start("pump")
    pump.wait_connected()
    spent = Spent(pump)
    pump.put(*map(str, codes))
    pump.wait_for_line(named("PUBACK", codes[0]))
    arrives(pump)
    for code in codes:
        if code not in FOR_GOOD:
            topic = f"dt/pump/{code}"
            server.wait(
                lambda topic=topic: server.published(topic),  # type: ignore[misc]
                f"the reading that met {code}",
                CONNECT_AGAIN,
            )
    arrives(pump)
    spent.check()
    assert server.connections("pump") == 1
    assert not server.violations


def test_a_refused_reading_goes_later_and_keeps_no_other_back(
    server: Server, start: Start
) -> None:
    readings_are_refused(server, start, (151, 149, 144, 77, 200))


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_reading_that_is_refused_with_any_code(server: Server, start: Start) -> None:
    readings_are_refused(server, start, PUBACKS)


def test_a_hundred_refusals_with_an_unknown_code_do_not_stop_telemetry(
    server: Server, start: Start
) -> None:
    server.script("pump", Script(pubacks={f"dt/pump/{n}": (149,) for n in range(100)}))
    (pump,) = start("pump")
    pump.wait_connected()
    pump.put(*map(str, range(100)))
    for number in range(100):
        topic = f"dt/pump/{number}"
        server.wait(
            lambda topic=topic: server.published(topic),  # type: ignore[misc]
            f"the reading on {topic}",
            CONNECT_AGAIN,
        )
    arrives(pump)


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_reading_that_is_never_acknowledged_is_sent_again(server: Server, start: Start) -> None:
    server.script("pump", Script(pubacks={"dt/pump/x": (SILENCE,)}))
    (pump,) = start("pump")
    pump.wait_connected()
    spent = Spent(pump)
    pump.put("x")
    arrives(pump)
    problem = pump.wait_until_said("dt/pump/x", seconds=60)
    assert "topic's name" not in problem["remedy"]
    server.wait(lambda: server.published("dt/pump/x"), "it to be sent again", 60)
    _until_well(pump)
    spent.check()


# A message that ends the connection ----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["sent", "acknowledged"])
def test_a_message_that_ends_the_connection_each_time_is_set_aside(
    server: Server, start: Start, after: str
) -> None:
    poison = Script(
        publishes=[Publish(topic="cmd/pump/x/poison", payload=b"{}")], then=End(), after=after
    )
    well = Script(
        publishes=[
            Publish(topic="cmd/pump/x/poison", payload=b"{}"),
            Publish(topic="cmd/pump/x/fine", payload=b"{}"),
        ]
    )
    server.script("pump", poison, poison, poison, well)
    (pump,) = start("pump", **listening("x/+"))
    pump.wait_connected()
    spent = Spent(pump)
    server.wait(
        lambda: ("pump", "cmd/pump/x/fine", 0) in server.acknowledged,
        "the message behind it",
        CONNECT_AGAIN,
    )
    assert ("pump", "cmd/pump/x/poison", 0) in server.acknowledged
    pump.wait_until_said("cmd/pump/x/poison")
    arrives(pump)
    spent.check()
