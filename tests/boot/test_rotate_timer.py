"""The timer's service on a booted device: it asks the running agent, through both sandboxes; or does nothing."""

import json

from boot.machine import UNIT, Machine
from support.agent import until
from support.fleets import allow_rotation

SERVICE = "fleet-agent-rotate.service"


def test_root_has_the_running_agent_rotate(device: Machine) -> None:
    """From a shell it sees the service's process, but as its user cannot look into it."""
    allow_rotation(device.fleet)
    device.configure()
    with device.booted():
        device.wait_connected()
        before, agent = device.certificate_id(), device.show()["MainPID"]
        assert f"(process {agent})" in device.run("fleet-agent", "doctor")
        device.run("fleet-agent", "rotate", "--force")
        assert device.certificate_id() != before
        assert device.show()["MainPID"] == agent


def test_the_service_has_the_running_agent_rotate_when_it_is_due(device: Machine) -> None:
    allow_rotation(device.fleet)
    device.configure(rotation={"max_age": "90d"})
    with device.booted():
        device.wait_connected()
        before = device.certificate_id()
        agent = device.show()["MainPID"]
        device.run("systemctl", "start", SERVICE)  # not due: skipped, which is no failure
        # The unit itself is forgotten by then: nothing holds it while the timer is off.
        assert "exec-condition" in device.run("journalctl", "-b", "-u", SERVICE)
        assert device.certificate_id() == before
        proven = device.state / "credentials" / "current" / "proven"
        found = json.loads(proven.read_text())
        proven.write_text(json.dumps({**found, "proven": found["proven"] - 100 * 86400}))
        device.run("systemctl", "start", SERVICE)
        assert device.certificate_id() != before
        device.wait_connected()
        assert device.show()["MainPID"] == agent  # the same process, with another image
        until(lambda: device.journal_text().count("connected to") == 2, "connected again", 60)
        timers = device.run("systemctl", "enable", "--now", "fleet-agent-rotate.timer")
        assert timers == ""
        assert device.run("systemctl", "is-active", "fleet-agent-rotate.timer", UNIT)
