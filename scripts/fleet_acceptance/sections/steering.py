"""An operator steers a device and looks into it: a direct message, its connection, the story of it."""

from fleet_acceptance.context import Run
from fleet_acceptance.device.agents import until
from fleet_acceptance.errors import AcceptanceError
from fleet_acceptance.sections.devices import device


def steer(run: Run) -> None:
    """A device that runs is sent to, and asked about."""
    thing = f"{run.id}-steered"
    agent = device(run, "steered")
    with run.step("a device that is to be steered"):
        agent.provision()
    with agent.running():
        with run.step("fleet-cloud send --wait: a direct message that the device acknowledges"):
            until(agent.publishes, "the device's session")
            sent = run.fleet_cloud("send", thing, f"cmd/{thing}/hello", '{"n": 1}', "--wait")
            if not sent["delivered"]:
                raise AcceptanceError(f"not delivered: {run.redactor.of(sent)}")
        with run.step("fleet-cloud devices show: it is connected"):
            shown = run.fleet_cloud("devices", "show", thing)
            if shown["connection"].get("connected") is not True:
                raise AcceptanceError(f"its connection: {run.redactor.of(shown['connection'])}")
    with run.step("fleet-cloud explain: it was stopped"):
        # It ends with 1 where something is wrong, and a device that is away is that.
        told = run.fleet_cloud("explain", thing, statuses=(0, 1))
        if told["cause"]["code"] != "left":
            raise AcceptanceError(f"explained otherwise: {run.redactor.of(told['cause'])}")
