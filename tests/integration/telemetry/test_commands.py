"""Commands over real TLS and MQTT 5: the installed agent at one end, an operator at the other."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.agent import Agent, until
from support.operators import Operator


def configured(agent: Agent, **handlers: dict[str, Any]) -> Path:
    """A configuration with a handler for ``cmd/THING/NAME`` each."""
    subscriptions = [
        {"topic": f"cmd/{{thing}}/{name}", "name": name, **handler}
        for name, handler in handlers.items()
    ]
    return agent.configuration(
        agent.folder / "config.yaml", subscriptions=subscriptions, telemetry={"sources": []}
    )


def test_a_request_is_answered_with_its_correlation_data(agent: Agent, operator: Operator) -> None:
    thing = agent.thing_name
    out = agent.folder / "out"
    out.mkdir()
    config = configured(
        agent,
        run={"exec": {"argv": ["sh", "-c", 'echo "$FLEET_AGENT_TOPIC"; cat; exit 3']}},
        write={"topic": "cmd/{thing}/write/+", "file": {"path": f"{out}/{{1}}"}},
    )
    operator.subscribe(f"dt/{thing}/answers")
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        asked = {"response_topic": f"dt/{thing}/answers", "correlation_data": b"\x00\xff7"}
        operator.send(f"cmd/{thing}/run", b"in; $(reboot)", content_type="text/plain", **asked)
        answer = operator.hear()
        assert answer.correlation_data_bytes == b"\x00\xff7"
        assert answer.content_type == "application/json"
        assert [(each.name, each.value) for each in answer.user_properties or ()] == [
            ("handler", "run")
        ]
        assert json.loads(answer.payload or b"") == {
            "status": 3,
            "reason": "sh ended with exit status 3",
            "stdout": f"cmd/{thing}/run\nin; $(reboot)",
            "truncated": False,
        }
        assert daemon.wait_for_problem("handler-failed", name="run")["title"].startswith(
            "The handler run failed"
        )
        operator.send(f"cmd/{thing}/write/a.json", b"{}", **asked)
        assert operator.said() == {"status": 0}
        operator.send(f"cmd/{thing}/write/..", b"{}", **asked)
        assert operator.said()["error"] == "refused-name"
        assert [path.name for path in out.iterdir()] == ["a.json"]
        # Nobody asked for an answer; the largest message there is.
        operator.send(f"cmd/{thing}/write/large", b"x" * 128 * 1024)
        until((out / "large").exists, "the large file")
        assert (out / "large").stat().st_size == 128 * 1024
        identity = json.loads((agent.state_dir / "run" / "identity.json").read_text())
        assert daemon.end() == 0
    assert identity["thing_name"] == thing
    assert sorted(identity) == [
        "certificate_file",
        "certificate_id",
        "device_configuration",
        "schema",
        "thing_name",
    ]


def test_what_was_sent_while_the_device_was_away_arrives(agent: Agent, operator: Operator) -> None:
    thing = agent.thing_name
    log = agent.folder / "log"
    config = configured(agent, run={"exec": {"argv": ["sh", "-c", f"cat >>{log}"]}})
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        assert daemon.end() == 0
    for number in range(5):
        operator.send(f"cmd/{thing}/run", b"%d\n" % number)
    with agent.running(config=config) as daemon:
        until(lambda: log.exists() and log.read_text() == "0\n1\n2\n3\n4\n", "all five, in order")
        assert daemon.end() == 0
    with agent.running(config=config) as daemon:  # acknowledged: they do not come again
        daemon.wait_for_line("subscribed to")
        operator.send(f"cmd/{thing}/run", b"last\n")
        until(lambda: log.read_text().endswith("last\n"), "the last one")
    assert log.read_text() == "0\n1\n2\n3\n4\nlast\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_waits_outlives_the_agent_and_a_duplicate_is_known_after_it(
    agent: Agent, operator: Operator, number: signal.Signals
) -> None:
    thing, log, go = agent.thing_name, agent.folder / "log", agent.folder / "go"
    script = f"echo $$ >{agent.folder}/pid; cat >>{log}; test -e {go} || exec sleep 60"
    config = configured(
        agent, run={"exec": {"argv": ["sh", "-c", script]}, "deduplicate": "property:id"}
    )
    operator.subscribe(f"dt/{thing}/answers")
    asked: dict[str, Any] = {"response_topic": f"dt/{thing}/answers"}
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        for each in range(3):
            operator.send(f"cmd/{thing}/run", b"%d\n" % each, id=str(each), **asked)
        until(lambda: log.exists() and log.read_text() == "0\n", "the first one to be started")
        kept = agent.state_dir / "orders"
        until(lambda: len(list(kept.rglob("*.json"))) == 3, "the others to wait")
        daemon.end(number)
        if number == signal.SIGTERM:
            assert operator.said()["error"] == "stopped"
        else:
            os.kill(int((agent.folder / "pid").read_text()), signal.SIGKILL)
    go.touch()
    with agent.running(config=config) as daemon:
        if number == signal.SIGKILL:  # it is not started again, and its sender hears that
            assert operator.said()["error"] == "stopped"
        assert [operator.said()["status"] for _ in range(2)] == [0, 0]
        for known in ("0", "2"):
            operator.send(f"cmd/{thing}/run", b"again\n", id=known, **asked)
            assert operator.said()["error"] == "duplicate"
        operator.send(f"cmd/{thing}/run", b"new\n", id="3", **asked)
        assert operator.said()["status"] == 0
        assert daemon.end() == 0
    assert log.read_text() == "0\n1\n2\nnew\n"
    assert not list(kept.rglob("*.json"))


def test_a_handler_that_fails_leaves_the_others_and_the_agent_alone(
    agent: Agent, operator: Operator
) -> None:
    thing = agent.thing_name
    config = configured(
        agent,
        missing={"exec": {"argv": ["/nonexistent/x"]}},
        slow={"exec": {"argv": ["sleep", "60"], "max_waiting": 0}},
        nobody={"socket": {"path": "/nonexistent/socket"}},
        folder={"file": {"path": "/nonexistent/file"}},
        good={"exec": {"argv": ["cat"]}},
    )
    operator.subscribe(f"dt/{thing}/answers")
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("subscribed to")
        found = {}
        asked: dict[str, Any] = {"response_topic": f"dt/{thing}/answers"}
        for name in ("missing", "nobody", "folder"):
            operator.send(f"cmd/{thing}/{name}", b"x", **asked)
            found[name] = operator.said()["error"]
        operator.send(f"cmd/{thing}/slow", **asked)
        operator.send(f"cmd/{thing}/slow", **asked)
        operator.send(f"cmd/{thing}/good", b"fine", **asked)
        assert operator.said()["stdout"] == "fine"
        assert found == {
            "missing": "not-started",
            "nobody": "no-program",
            "folder": "not-written",
        }
        for name in ("missing", "nobody", "folder"):
            daemon.wait_for_problem("handler-failed", name=name)
        assert daemon.process.poll() is None

        def counted() -> bool:
            return bool(daemon.shown().get("handlers", {}).get("good", {}).get("handled") == 1)

        until(counted, "the good one to be counted")
        shown = daemon.shown()["handlers"]
    assert (shown["slow"]["held"], shown["slow"]["refused"]) == (1, 0)
    assert shown["folder"]["failed"] == 1
    assert shown["folder"]["last_error"].startswith("Cannot write /nonexistent/file")
