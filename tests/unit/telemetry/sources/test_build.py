"""Settings become sources."""

import os
from typing import Any

import pytest

from fleet_agent.config.readings import (
    Allow,
    CommandSource,
    FileSource,
    FromGrowingFile,
    FromProgram,
    FromSocket,
    FromSystem,
    SocketSource,
    SystemSource,
)
from fleet_agent.config.shape import WrongValueError
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.errors import DeviceError
from fleet_agent.files.reserved import Reserved
from fleet_agent.telemetry.reading import Source
from fleet_agent.telemetry.sources.build import SourcesContext, build, socket_paths
from fleet_agent.topics.names import Topics
from support.identity import CREDENTIAL
from support.programs import Program
from support.sources import Bench


def sources_of(bench: Bench, *sources: Any, **options: Any) -> list[Source]:
    topics = Topics(CREDENTIAL.topic_values, {"Line": "l-1"}.get)

    def fill(template: str, name: str) -> str | None:
        try:
            return topics.fill(template, name)
        except DeviceError:
            return None

    context = SourcesContext(
        fill=fill,
        topics=topics,
        intake=bench.intake,
        mailbox=bench.mailbox,
        clock=bench.clock,
        health=bench.health,
        state_dir=bench.state_dir,
        runtime_dir=bench.runtime_dir,
        listeners=bench.listeners,
        reserved=Reserved([bench.state_dir]),
    )
    bench.sources = build(Telemetry(sources=sources, **options), context)
    return bench.sources


def test_each_kind_with_its_name_topic_and_priority(bench: Bench) -> None:
    log = bench.runtime_dir / "log"
    log.write_text("1\n")
    found = sources_of(
        bench,
        FromSystem(system=SystemSource(interval=3600)),
        FromProgram(
            command=CommandSource(
                argv=("echo", "2"), name="meter", interval=3600, topic="m/{site}", priority="high"
            )
        ),
        FromGrowingFile(file=FileSource(path=str(log), name="log")),
        FromSocket(socket=SocketSource()),
        topic="dt/{Line}/{thing}/{source}",
    )
    assert [source.name for source in found] == ["system", "meter", "log", "socket"]
    bench.until(3)
    priorities = {reading.topic: reading.priority for reading in bench.intake.readings}
    assert priorities == {"dt/l-1/pump-7/system": 1, "m/north": 2, "dt/l-1/pump-7/log": 1}


def test_nothing_is_touched_before_the_first_act(bench: Bench) -> None:
    sources_of(bench, FromSocket(socket=SocketSource()))
    assert not (bench.runtime_dir / "telemetry.sock").exists()


def test_namesakes_and_two_sockets_are_refused(bench: Bench) -> None:
    system = FromSystem(system=SystemSource())
    with pytest.raises(WrongValueError, match="named system"):
        sources_of(bench, system, system)
    with pytest.raises(WrongValueError, match="two sockets"):
        sources_of(
            bench,
            FromSocket(socket=SocketSource()),
            FromSocket(socket=SocketSource(name="other")),
        )


def test_a_topic_that_cannot_be_filled_in_puts_that_source_alone_out_of_service(
    bench: Bench,
) -> None:
    found = sources_of(
        bench,
        FromSystem(system=SystemSource(topic="dt/{nothing}")),
        FromSystem(system=SystemSource(name="other")),
    )
    assert [source.name for source in found] == ["other"]


def test_a_file_of_the_agents_own_is_not_read(bench: Bench) -> None:
    own = bench.state_dir / "own"
    own.write_text("1\n")
    sources_of(bench, FromGrowingFile(file=FileSource(path=str(own), name="log")))
    bench.turn(bench.problems)
    assert "the agent's own file" in bench.problems()["source-failed log"]
    assert bench.intake.readings == []


def test_a_socket_fills_in_what_is_allowed_and_what_is_sent(bench: Bench) -> None:
    allow = (
        Allow(user="*", topics=("dt/{thing}/{source}/#", "dt/{nothing}")),
        Allow(user="*", topics=("m/{Line}",)),
    )
    app = SocketSource(name="app", allow=allow, topic="m/{Line}", priority="high")
    system = FromSystem(system=SystemSource(interval=3600))
    found = sources_of(bench, system, FromSocket(socket=app))
    bench.turn(lambda: bench.socket.is_socket() and bench.intake.stored)
    assert socket_paths(found) == [bench.socket]
    program = Program(bench)
    assert program.ask({"payload": 1})["ok"]
    assert program.ask({"topic": "dt/{thing}/{source}/{Line}", "payload": 1})["ok"]
    assert program.ask({"topic": "dt/x", "payload": 1})["error"]["code"] == "not-allowed"
    first, second = bench.intake.readings[1:]
    assert (first.topic, second.topic) == ("m/l-1", "dt/pump-7/app/l-1")
    assert first.priority == second.priority == 2
    assert first.source == second.source == f"app/{os.getuid()}"
    assert first.time == pytest.approx(bench.clock.wall(), abs=100)


def test_the_socket_is_there_although_its_own_topic_cannot_be_filled_in(bench: Bench) -> None:
    sources_of(
        bench,
        FromSystem(system=SystemSource()),
        FromSocket(socket=SocketSource()),
        topic="{nothing}",
    )
    assert [source.name for source in bench.sources] == ["socket"]
    bench.turn((bench.runtime_dir / "telemetry.sock").exists)
    program = Program(bench)
    assert program.ask({"payload": 1, "topic": "dt/{thing}/a"}) == {"ok": True}
    assert program.ask({"payload": 1})["error"]["code"] == "bad-topic"
