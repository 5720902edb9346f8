"""Settings become sources."""

from typing import Any

import pytest

from fleet_agent.config.shape import WrongValueError
from fleet_agent.config.telemetry import (
    CommandSource,
    FileSource,
    FromGrowingFile,
    FromProgram,
    FromSocket,
    FromSystem,
    SocketSource,
    SystemSource,
    Telemetry,
)
from fleet_agent.errors import DeviceError
from fleet_agent.telemetry.reading import Source
from fleet_agent.telemetry.sources.build import Place, build
from fleet_agent.topics.names import Topics
from support.identity import CREDENTIAL
from support.sources import Bench


def sources_of(bench: Bench, *sources: Any, **options: Any) -> list[Source]:
    topics = Topics(CREDENTIAL.topic_values, {"Line": "l-1"}.get)

    def fill(template: str, name: str) -> str | None:
        try:
            return topics.fill(template, name)
        except DeviceError:
            return None

    place = Place(
        fill=fill,
        topics=topics,
        intake=bench.intake,
        mailbox=bench.mailbox,
        clock=bench.clock,
        health=bench.health,
        state_dir=bench.state_dir,
        runtime_dir=bench.runtime_dir,
        listeners=bench.listeners,
    )
    bench.sources = build(Telemetry(sources=sources, **options), place)
    return bench.sources


def test_each_kind_with_its_name_topic_and_priority(bench: Bench) -> None:
    log = bench.state_dir / "log"
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
    with pytest.raises(WrongValueError, match="called system"):
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
