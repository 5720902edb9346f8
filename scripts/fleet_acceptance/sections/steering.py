"""An operator controls and inspects a device: orders, a direct message, its connection, its timeline."""

from fleet_acceptance.context import Run
from fleet_acceptance.device.agents import Agent, until
from fleet_acceptance.errors import AcceptanceError
from fleet_acceptance.sections.devices import device

_SUBSCRIBED = "/executions/+/request/json"
_ORDER_SECONDS = "120"


def order(run: Run) -> None:
    """A device carries out what fleet-cloud run orders, through a handler: a command, and a job."""
    thing = f"{run.id}-ordered"
    agent = device(run, "ordered")
    with run.step("a device that is to carry out orders"):
        agent.provision()
    with agent.running():
        with run.step("a device listens for commands"):
            until(lambda: agent.publishes() and _SUBSCRIBED in agent.log, "its subscription")
        # Each with its own name for the program's end.
        for kind, exit_status in (("command", "exit"), ("job", "exit-status")):
            with run.step(f"fleet-cloud run: a {kind} is carried out, and its output comes back"):
                how = (f"--{kind}", "--timeout", _ORDER_SECONDS)
                words = ("run", *how, thing, "say", kind, "two words")
                answer = run.fleet_cloud(*words, statuses=(0, 1))
                (found,) = answer["devices"]
                said = found["said"]
                wanted = ("SUCCEEDED", "0", f"{kind},two words,")
                if (found["status"], said.get(exit_status), said.get("stdout")) != wanted:
                    raise AcceptanceError(f"the device said {run.redactor.of(found)}")
        with run.step("the device's status: both orders are done"):
            until(lambda: _done(agent) == {"command", "job"}, "both of them in its status")


def _done(agent: Agent) -> set[str]:
    """How the orders came that the device shows as done."""
    shown = agent.shown.get("orders", ())
    return {each["origin"] for each in shown if each["outcome"] == "done"}


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
        answer = run.fleet_cloud("explain", thing, statuses=(0, 1))
        if answer["cause"]["code"] != "left":
            raise AcceptanceError(f"explained otherwise: {run.redactor.of(answer['cause'])}")
