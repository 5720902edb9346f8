"""Faults on the way to AWS IoT and in its policies, put into fleets of the sandbox: see ``support.seeded``.

Faults that do not hide each other share a fleet and a run of the command.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fleet_agent.session.route import Route
from iot_sandbox.launch import Sandbox
from support.agent import Agent, Outcome, run_command
from support.certificates import make_pair
from support.fleets import Claim, Fleet, claim_statements, device_statements, make_fleet

COMMANDS = [{"topic": "cmd/{thing}/#", "log": True}]


@dataclass(frozen=True)
class Fault:
    """What is wrong, for the table; the code that the doctor must say, what it must name, the action to allow."""

    title: str
    code: str
    names: str
    action: str = ""


@dataclass(frozen=True)
class OnTheWay:
    """A fault between here and the broker: the way as it is, changed."""

    fault: Fault
    change: Callable[[Path, ExitStack], dict[str, object]]

    def route(self, sandbox: Sandbox, folder: Path, stack: ExitStack) -> Route:
        """The way with the fault in it."""
        values = {
            "host": sandbox.endpoint,
            "port": sandbox.mqtt_port,
            "ca_file": str(sandbox.ca_file),
            "proxy": None,
        }
        return Route(**{**values, **self.change(folder, stack)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class InTheCloud:
    """Faults in one fleet, made once its device is provisioned, if it is."""

    faults: tuple[Fault, ...]
    act: Callable[[Agent], object]
    is_provisioned: bool = False
    sections: Mapping[str, object] = field(default_factory=dict)

    def examine(self, sandbox: Sandbox, folder: Path) -> Outcome:
        """Makes the fleet, its device and the faults, and asks the doctor."""
        agent = Agent(make_fleet(sandbox, folder / "claim"), folder)
        if self.is_provisioned:
            assert agent.provision().status == 0
        self.act(agent)
        sections = {"subscriptions": COMMANDS, **self.sections}
        return doctor(agent, agent.configuration(folder / "config.yaml", **sections))


def _arn(fleet: Fleet) -> list[str]:
    """The beginning of the fleet's ARNs: arn, partition, service, region, account."""
    arn: str = fleet.iot.get_policy(policyName=fleet.claim_policy)["policyArn"]
    return arn.split(":")[:5]


def doctor(agent: Agent, file: Path, *more: str | Path) -> Outcome:
    """Runs ``doctor --online --json``; the account given, so that no AWS CLI is asked."""
    *_, region, account = _arn(agent.fleet)
    words = ("doctor", "--online", "--json", "--account", account, "--config", file, *more)
    return run_command(*words, env={"AWS_REGION": region})


def lose(agent: Agent, *, claim: Iterable[str] = (), device: Iterable[str] = ()) -> None:
    """Takes statements out of the policies of a fleet."""
    fleet, arn = agent.fleet, ":".join(_arn(agent.fleet))
    for name, statements, lost in (
        (fleet.claim_policy, claim_statements(fleet.template, arn), set(claim)),
        (fleet.device_policy, device_statements(arn), set(device)),
    ):
        kept = [statement for key, statement in statements.items() if key not in lost]
        document = json.dumps({"Version": "2012-10-17", "Statement": kept})
        if lost:
            fleet.iot.create_policy_version(
                policyName=name, policyDocument=document, setAsDefault=True
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _refusing_proxy(stack: ExitStack) -> str:
    """A proxy that lets nobody through."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def _other_ca(folder: Path) -> str:
    pair: Claim = make_pair(folder / "ca")
    return str(pair.certificate)


def _deactivate(agent: Agent, certificate_id: str | None) -> None:
    agent.fleet.iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")


WAY = (
    OnTheWay(Fault("an endpoint that does not exist", "name-unknown", "nowhere.invalid"),
             lambda _folder, _stack: {"host": "nowhere.invalid"}),
    OnTheWay(Fault("a port that nobody answers on", "port-closed", "does not answer"),
             lambda _folder, _stack: {"port": _free_port()}),
    OnTheWay(Fault("a proxy that is not there", "proxy-unreachable", "127.0.0.1"),
             lambda _folder, _stack: {"proxy": f"http://127.0.0.1:{_free_port()}"}),
    OnTheWay(Fault("a proxy that lets nobody through", "proxy-refused", "403 Forbidden"),
             lambda _folder, stack: {"proxy": _refusing_proxy(stack)}),
    OnTheWay(Fault("a CA file without the CA of the endpoint", "server-untrusted", "is missing"),
             lambda folder, _stack: {"ca_file": _other_ca(folder)}),
    OnTheWay(Fault("a CA file without a certificate", "ca-unreadable", "nothing.pem"),
             lambda folder, _stack: {"ca_file": str(folder / "nothing.pem")}),
    OnTheWay(Fault("a name that the endpoint's certificate does not have", "server-untrusted", "127.1"),
             lambda _folder, _stack: {"host": "127.1"}),
)  # fmt: skip

CLOUD = (
    InTheCloud((Fault("a claim that is not ACTIVE", "connect-unanswered", "claim.certificate.pem.crt"),),
               lambda agent: _deactivate(agent, agent.fleet.claim.certificate_id)),
    InTheCloud((Fault("a claim's policy without iot:Connect", "not-allowed", "claim-", "iot:Connect"),),
               lambda agent: lose(agent, claim=["connect"])),
    InTheCloud((Fault("without iot:Subscribe on CreateCertificateFromCsr's topics", "not-allowed",
                      "$aws/certificates/create-from-csr/json/*", "iot:Subscribe"),
                Fault("without iot:Publish on RegisterThing", "not-allowed", "/provision/json", "iot:Publish")),
               lambda agent: lose(agent, claim=["subscribe create-from-csr", "publish register-thing"])),
    InTheCloud((Fault("without iot:Receive of CreateCertificateFromCsr's answers", "not-allowed",
                      "$aws/certificates/create-from-csr/json/*", "iot:Receive"),
                Fault("without iot:Subscribe on RegisterThing's topics", "not-allowed", "/provision/json/*",
                      "iot:Subscribe"),
                Fault("a device's policy without iot:RetainPublish on the topic of `presence`", "not-allowed",
                      "/presence", "iot:RetainPublish")),
               lambda agent: lose(agent, claim=["receive create-from-csr", "subscribe register-thing"]),
               is_provisioned=True, sections={"connection": {"presence": {"topic": "dt/{thing}/presence"}}}),
    InTheCloud((Fault("without iot:Publish on CreateCertificateFromCsr", "not-allowed",
                      "$aws/certificates/create-from-csr/json", "iot:Publish"),
                Fault("a device's policy without iot:Subscribe on a topic of `subscriptions`", "not-allowed",
                      "cmd/", "iot:Subscribe"),
                Fault("without iot:Publish on its telemetry's topic", "not-allowed", "/system", "iot:Publish")),
               lambda agent: lose(agent, claim=["publish create-from-csr"], device=["subscribe", "publish"]),
               is_provisioned=True),
    InTheCloud((Fault("a device's certificate that is not ACTIVE", "connect-unanswered", "certificate.pem.crt"),),
               lambda agent: _deactivate(agent, agent.current_id()), is_provisioned=True),
)  # fmt: skip
