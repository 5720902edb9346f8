"""A thousand orders to one device, 50 a second: each once, in order, and nothing grows."""

import time
from pathlib import Path

import pytest

from support.agent import Agent, until
from support.fleets import Fleet
from support.operators import operating

COUNT, RATE = 1000, 50.0
LIMIT = 90.0  # seconds
GROWTH = 1500  # KiB


def memory(pid: int) -> int:
    """KiB of a process's own pages."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private"))


@pytest.mark.thorough
def test_a_thousand_orders_are_carried_out_once_and_in_order(fleet: Fleet, tmp_path: Path) -> None:
    agent = Agent(fleet, tmp_path)
    assert agent.provision().status == 0
    logs = [tmp_path / f"log-{each}" for each in (0, 1)]
    answers = f"dt/{agent.thing_name}/answers"
    config = agent.configuration(
        tmp_path / "config.yaml",
        handlers={
            f"h{item}": {"exec": {"argv": ["sh", "-c", f"cat >>{log}"], "max_waiting": 100}}
            for item, log in enumerate(logs)
        },
        subscriptions=[
            {
                "topic": f"cmd/{{thing}}/{item}",
                "handler": f"h{item}",
                "deduplicate": "property:id",
                "log": False,
            }
            for item in (0, 1)
        ],
        telemetry={"sources": []},
    )
    with (
        operating(fleet, tmp_path / "operator") as operator,
        agent.running(config=config) as daemon,
    ):
        operator.subscribe(answers)
        daemon.wait_for_line("subscribed to")
        grown = []
        began = time.monotonic()
        for number in range(COUNT):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            topic = f"cmd/{agent.thing_name}/{number % 2}"
            operator.send(topic, b"%d\n" % number, id=str(number), response_topic=answers)
            if number in (COUNT // 4, COUNT - 1):
                grown.append(memory(daemon.pid))

        def done() -> bool:
            return sum(log.read_text().count("\n") for log in logs if log.exists()) >= COUNT

        until(done, "all of them", LIMIT)
        heard = [operator.said()["status"] for _ in range(COUNT)]
        grown.append(memory(daemon.pid))
        assert heard == [0] * COUNT
        assert daemon.shown()["problems"] == []
        assert daemon.end() == 0
    for each, log in enumerate(logs):
        assert [int(line) for line in log.read_text().split()] == list(range(each, COUNT, 2))
    assert not list((agent.state_dir / "orders").rglob("*.json"))
    assert max(grown) - grown[0] < GROWTH, grown
    print(f"KiB after a quarter, all, and at rest: {grown}")  # noqa: T201 - for who measures
