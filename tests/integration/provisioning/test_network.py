"""What happens below MQTT, and what changes in the cloud in the middle or years later."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from iot_sandbox.client import FaultClient
from support.agent import Agent, until
from support.certificates import TOMORROW, YESTERDAY, make_pair
from support.faulttable import Seen, tell
from support.fleets import Fleet, make_claim, make_fleet
from support.tls import free_port, tls_server
from support.wire import Wire

pytestmark = pytest.mark.slow


@pytest.fixture
def agent(fleet: Fleet, faults: FaultClient, tmp_path: Path) -> Agent:
    del faults  # none left from the test before
    return Agent(fleet, tmp_path)


def test_name_that_does_not_resolve(agent: Agent) -> None:
    done = agent.provision("--timeout", "4", endpoint="nowhere.invalid")
    assert (done.status, done.error["code"]) == (69, "endpoint-unknown")
    tell(Seen("name and port", "DNS fails", 69, 1, done.stderr))
    assert agent.provision().status == 0


def test_port_that_refuses(agent: Agent) -> None:
    done = agent.provision("--timeout", "4", port=free_port())
    assert (done.status, done.error["code"]) == (69, "endpoint-unreachable")
    tell(Seen("name and port", "connection refused", 69, 1, done.stderr))
    assert agent.provision().status == 0


# The agent and its own look for the cause each make a connection.
@pytest.mark.parametrize(
    ("mode", "times", "words"),
    [
        ("silent", 2, "connection accepted, then silence (half-open)"),
        ("slow", 2, "one byte a second"),
        ("cut", 1, "connection dropped in the middle of the handshake"),
        ("hang-up", 1, "connection dropped at once"),
    ],
)
def test_handshake_that_fails_at_first(
    agent: Agent, faults: FaultClient, mode: str, times: int, words: str
) -> None:
    with Wire(agent.fleet.sandbox.mqtt_port, mode, times) as wire:
        done = agent.provision("--timeout", "55", port=wire.port)
    assert done.status == 0, done.stderr
    assert len(faults.certificates()) == 1
    tell(Seen("TLS", words, 0, 1, done.stderr))


def test_handshakes_that_go_on_failing_are_named(fleet: Fleet, tmp_path: Path) -> None:
    """All at once: they wait most of the time."""

    def outcome(mode: str) -> tuple[int, str]:
        (tmp_path / mode).mkdir()
        with Wire(fleet.sandbox.mqtt_port, mode) as wire:
            done = Agent(fleet, tmp_path / mode).provision("--timeout", "20", port=wire.port)
        return done.status, done.error["code"]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(outcome, ("silent", "slow"))) == [(69, "endpoint-silent")] * 2


@pytest.mark.parametrize("fault", ["expired", "of another name", "of another CA"])
def test_servers_certificate(agent: Agent, tmp_path: Path, fault: str) -> None:
    """The SDK tells of these late and without a cause."""
    name = "elsewhere.example" if fault == "of another name" else "localhost"
    valid_to = YESTERDAY if fault == "expired" else TOMORROW
    server = make_pair(tmp_path / "server", name=name, valid_to=valid_to)
    known = agent.fleet.sandbox.ca_file if fault == "of another CA" else server.certificate
    with tls_server(server) as port:
        done = agent.provision("--timeout", "8", port=port, ca_file=known)
    assert (done.status, done.error["code"]) == {
        "expired": (69, "server-certificate-dates"),
        "of another name": (69, "server-untrusted"),
        "of another CA": (69, "server-untrusted"),
    }[fault], done.stderr
    ends = fault != "expired"
    tell(Seen("TLS", f"server certificate {fault}", done.status, 1, done.stderr, at_once=ends))
    assert agent.provision().status == 0


def test_run_waits_for_a_server_that_it_can_trust(agent: Agent, tmp_path: Path) -> None:
    """Another server at first boot, a proxy's 407 or a CA's file that is another's: nothing that ends a service."""
    server = make_pair(tmp_path / "server", name="localhost")
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(server.certificate.read_bytes())
    with agent.running(ca_file=ca_file) as daemon:
        daemon.wait_for_problem("server-untrusted", 30)
        assert daemon.process.poll() is None
        ca_file.write_bytes(agent.fleet.sandbox.ca_file.read_bytes())
        daemon.wait_for_line("connected to", 60)
        assert daemon.end() == 0


@pytest.fixture
def own(fleet: Fleet, faults: FaultClient, tmp_path: Path) -> Agent:
    """A device of a fleet that the test may change."""
    del faults
    return Agent(make_fleet(fleet.sandbox, tmp_path / "claim"), tmp_path)


def test_claim_revoked_in_the_middle(own: Agent, faults: FaultClient, tmp_path: Path) -> None:
    faults.add("register-thing", "reject", status_code=500)
    with own.running("--json", verb="provision") as first:
        first.wait_for_line("Trying again")
        claim = own.fleet.claim.certificate_id
        own.fleet.iot.update_certificate(certificateId=claim, newStatus="INACTIVE")
        assert first.process.wait(60) == 77, first.log
        tell(Seen("TLS", "claim revoked between two steps", 77, 1, _after(first.log, "500")))
    other = make_claim(own.fleet.sandbox, tmp_path / "other", own.fleet.claim_policy)
    done = own.provision(cert=other.certificate, key=other.private_key)
    assert done.status == 0, done.stderr
    assert len(faults.certificates()) == 1


def _after(log: str, word: str) -> str:
    """The lines that do not tell of the fault that only bought time."""
    return "\n".join(line for line in log.splitlines() if word not in line)


def test_certificate_revoked_a_year_later(own: Agent) -> None:
    """AWS ends the connection within minutes, the sandbox at the next connect: the start after a power cut, say."""
    done = own.provision()
    assert done.status == 0, done.stderr
    iot, current = own.fleet.iot, done.answer["certificate_id"]
    iot.update_certificate(certificateId=current, newStatus="INACTIVE")
    with own.running() as daemon:
        problem = daemon.wait_for_problem("offline", 60)
        assert "certificate" in problem["title"]
        step, words = "run: later years", "device certificate set INACTIVE"
        tell(Seen(step, words, None, 1, f"fleet-agent: {problem['title']}"))
        iot.update_certificate(certificateId=current, newStatus="ACTIVE")
        daemon.wait_for_line("connected to", 90)
        until(lambda: "offline" not in str(daemon.shown()["problems"]), "healed", 20)
        assert daemon.end() == 0
    assert own.current_id() == current


def test_endpoint_that_moved(agent: Agent) -> None:
    """Nothing is provisioned again: the identity is good at the new place."""
    with Wire(agent.fleet.sandbox.mqtt_port) as old:
        done = agent.provision(port=old.port)
    assert done.status == 0, done.stderr
    with agent.running(port=old.port) as daemon:
        problem = daemon.wait_for_problem("offline", 60)
        step, words = "run: later years", "the endpoint moved; until it is configured"
        tell(Seen(step, words, None, 1, f"fleet-agent: {problem['title']}"))
        assert daemon.end() == 0
    with agent.running() as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0
    assert agent.current_id() == done.answer["certificate_id"]
