"""A configuration that changes while the agent reloads."""

import signal

from hostile.running import Start, arrives
from support.agent import until
from support.scripted import SILENCE, Script, Server


def test_the_file_may_break_between_its_check_and_the_new_image(
    server: Server, start: Start
) -> None:
    # What is not acknowledged has the old image wait for some seconds after the check.
    server.script("pump", Script(pubacks={"dt/pump/slow": [SILENCE]}), Script())
    (agent,) = start("pump")
    agent.wait_connected()
    agent.put("slow")
    server.wait(
        lambda: "dt/pump/slow" in [message.topic for _, message, _ in server.received],
        "the reading",
    )
    agent.process.send_signal(signal.SIGHUP)
    until(lambda: agent.shown().get("doing") == "restarting in place", "the end of the check")
    (agent.folder / "config.yaml").write_text("{{{")
    agent.wait_for_line("reloaded")
    arrives(agent)
    # The next reload is told what is wrong with it.
    agent.process.send_signal(signal.SIGHUP)
    agent.wait_for_problem("configuration")
    arrives(agent, "later")
