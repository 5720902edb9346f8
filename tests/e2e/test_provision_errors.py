"""``fleet-agent provision`` with something wrong: exit status, what it names, what to do, and nothing lost.

Exit statuses: 2 usage, 69 not reachable, 73 state directory, 75 refused for now, 77 refused by AWS, 78 wrong here.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from iot_sandbox.client import FaultClient
from support.agent import Agent, Outcome, run_command, state_dirs
from support.certificates import LONG_AGO, TOMORROW, YESTERDAY, make_pair
from support.csr import key_pem, make_csr, make_key
from support.fleets import Fleet, make_fleet, make_unbound
from support.tls import free_port, tls_server


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    return Agent(fleet, tmp_path)


def assert_error(done: Outcome, status: int, code: str, *names: object) -> None:
    """The exit status, the code, each name in the one sentence, a remedy; the same for people and for scripts."""
    assert (done.status, done.error["code"]) == (status, code), done.stderr
    for name in names:
        assert str(name) in done.error["title"]
    assert done.error["remedy"]
    assert done.error["title"] in done.stderr
    assert done.error["remedy"] in done.stderr
    assert "Traceback" not in done.stderr


def assert_nothing_issued(agent: Agent) -> None:
    assert agent.ledger() == {}
    assert not list(agent.credentials.glob("*/certificate.pem.crt"))
    assert not (agent.credentials / "current").exists()


def assert_goes_on(agent: Agent) -> None:
    """Mended, the same command ends well: nothing was lost, nothing stands in the way."""
    done = agent.provision()
    assert done.status == 0, done.stderr
    assert done.answer["proven"]


def truncated(path: Path, folder: Path) -> Path:
    """A copy cut in the middle, as an interrupted copy leaves it."""
    text = path.read_text()
    copy = folder / f"truncated-{path.name}"
    copy.write_text(text[: len(text) // 2])
    return copy


# The claim ------------------------------------------------------------------------------------------------------------


def test_claim_key_of_another_certificate(agent: Agent, tmp_path: Path) -> None:
    other = make_pair(tmp_path / "other")
    done = agent.provision(key=other.private_key)
    names = other.private_key, agent.fleet.claim.certificate
    assert_error(done, 78, "key-mismatch", *names)
    assert_nothing_issued(agent)
    assert_goes_on(agent)


def test_claim_expired(agent: Agent, tmp_path: Path) -> None:
    claim = make_pair(tmp_path / "old", valid_from=LONG_AGO, valid_to=YESTERDAY)
    done = agent.provision(cert=claim.certificate, key=claim.private_key)
    assert_error(done, 78, "claim-expired", claim.certificate, f"{YESTERDAY:%Y-%m-%dT%H:%M:%SZ}")
    assert "fleet-cloud claim new" in done.error["remedy"]
    assert done.error["step"] == "claim session"
    assert_nothing_issued(agent)
    assert_goes_on(agent)


def test_clock_before_the_claim_is_valid(agent: Agent, tmp_path: Path) -> None:
    claim = make_pair(tmp_path / "young", valid_from=TOMORROW)
    done = agent.provision("--timeout", "2", cert=claim.certificate, key=claim.private_key)
    assert_error(done, 69, "clock", f"{TOMORROW:%Y-%m-%dT%H:%M:%SZ}")
    assert "timedatectl" in done.error["remedy"]
    assert_nothing_issued(agent)


@pytest.mark.parametrize(
    ("flag", "code"), [("cert", "certificate-invalid"), ("key", "key-invalid")]
)
def test_claim_file_truncated(agent: Agent, tmp_path: Path, flag: str, code: str) -> None:
    claim = agent.fleet.claim
    file = truncated(claim.certificate if flag == "cert" else claim.private_key, tmp_path)
    done = agent.but(**{flag: file}).provision()
    assert_error(done, 78, code, file)
    assert_nothing_issued(agent)
    assert_goes_on(agent)


@pytest.mark.parametrize("flag", ["cert", "key", "ca_file", "csr"])
def test_file_that_is_not_there(agent: Agent, tmp_path: Path, flag: str) -> None:
    missing = tmp_path / "missing.pem"
    done = agent.but(**{flag: missing}).provision()
    assert done.status == 78
    assert str(missing) in done.error["title"]
    assert "No such file" in done.error["title"]
    assert_nothing_issued(agent)


def test_claim_not_active(sandbox_fleet: Fleet, tmp_path: Path) -> None:
    agent = Agent(sandbox_fleet, tmp_path)
    identity = sandbox_fleet.claim.certificate_id
    sandbox_fleet.iot.update_certificate(certificateId=identity, newStatus="INACTIVE")
    done = agent.provision("--timeout", "40")
    assert_error(done, 77, "connect-unanswered", sandbox_fleet.claim.certificate)
    assert "describe-certificate" in done.error["remedy"]
    assert_nothing_issued(agent)
    sandbox_fleet.iot.update_certificate(certificateId=identity, newStatus="ACTIVE")
    assert_goes_on(agent)


# The CSR --------------------------------------------------------------------------------------------------------------


def long_csr() -> str:
    """By itself, not by what stands around it in its file."""
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, "x" * 60)] * 30
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    request = builder.sign(make_key(), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def tampered_csr() -> str:
    lines = make_csr(make_key()).splitlines()
    body = list(lines[1])
    body[40] = "A" if body[40] != "A" else "B"
    return "\n".join([lines[0], "".join(body), *lines[2:]])


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("hello", "csr-invalid", "no certificate signing request"),
        (make_csr(make_key())[:200], "csr-invalid", "no certificate signing request"),
        (tampered_csr(), "csr-invalid", ""),
        (long_csr(), "csr-too-long", "at most 2000"),
        (make_csr(make_key("rsa-1024")), "csr-weak-key", "1024 bits"),
        (make_csr(make_key("ec-k256")), "csr-weak-key", "secp256k1"),
    ],
    ids=["none", "truncated", "tampered", "too long", "RSA 1024", "curve AWS does not accept"],
)
def test_csr_that_aws_would_not_take(
    agent: Agent, faults: FaultClient, tmp_path: Path, text: str, code: str, words: str
) -> None:
    csr = tmp_path / "device.csr"
    csr.write_text(text)
    done = agent.provision("--csr", csr)
    assert_error(done, 78, code, csr, words)
    assert "openssl" in done.error["remedy"] or "EC P-256" in done.error["remedy"]
    assert faults.calls()["calls"] == []
    assert_nothing_issued(agent)


def test_csr_key_of_another_csr(agent: Agent, faults: FaultClient, tmp_path: Path) -> None:
    csr, key = tmp_path / "device.csr", tmp_path / "other.key"
    csr.write_text(make_csr(make_key()))
    key.write_bytes(key_pem(make_key()))
    done = agent.provision("--csr", csr, "--csr-key", key)
    assert_error(done, 78, "key-mismatch", csr, key)
    assert faults.calls()["calls"] == []


def test_csr_key_without_csr(agent: Agent, tmp_path: Path) -> None:
    done = agent.provision("--csr-key", tmp_path / "device.key")
    assert_error(done, 2, "usage", "--csr-key")
    assert "--csr FILE" in done.error["remedy"]


# Template and parameters ----------------------------------------------------------------------------------------------


@pytest.fixture
def sandbox_fleet(fleet: Fleet, tmp_path: Path) -> Fleet:
    """A fleet of the test's own, for what it changes."""
    return make_fleet(fleet.sandbox, tmp_path / "claim")


def test_template_that_does_not_exist(sandbox_fleet: Fleet, tmp_path: Path) -> None:
    claim = make_unbound(sandbox_fleet.sandbox, tmp_path / "any")
    agent = Agent(sandbox_fleet, tmp_path, cert=claim.certificate, key=claim.private_key)
    done = agent.provision(template_name="nosuch")
    assert_error(done, 77, "provisioning-refused", "RegisterThing", "nosuch does not exist")
    assert "describe-provisioning-template" in done.error["remedy"]
    assert done.error["step"] == "registered"


def test_template_mistyped_for_a_claim_that_may_use_one_only(agent: Agent) -> None:
    done = agent.provision(template_name="nosuch")
    topic = "topicfilter/$aws/provisioning-templates/nosuch/provision/json/*"
    assert_error(done, 77, "not-allowed", "iot:Subscribe", topic)
    assert "nosuch" in done.error["remedy"]
    assert "the template's name" in done.error["remedy"]
    assert_nothing_issued(agent)


def test_template_name_with_letters_that_aws_does_not_know(agent: Agent) -> None:
    done = agent.provision(template_name="fleet v1")
    assert_error(done, 78, "configuration")
    assert "--template-name" in done.stderr


def test_template_disabled(fleet: Fleet, tmp_path: Path) -> None:
    paused = make_fleet(fleet.sandbox, tmp_path / "claim", enabled=False)
    agent = Agent(paused, tmp_path)
    done = agent.provision()
    assert_error(done, 77, "provisioning-refused", "RegisterThing", "not enabled")
    assert "enabled" in done.error["remedy"]
    paused.set_enabled(enabled=True)
    assert_goes_on(agent)
    assert len(agent.ledger()) == 1  # the same certificate, not a second one


def test_template_parameter_missing(agent: Agent) -> None:
    done = agent.provision(template_parameters="{}")
    assert_error(done, 77, "provisioning-refused", "RegisterThing", "SerialNumber")
    assert "fleet-agent parameters" in done.error["remedy"]
    assert_goes_on(agent)  # now with the parameter
    assert len(agent.ledger()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("SerialNumber=1", "not JSON"),
        ("[1]", "JSON object"),
        ('{"SerialNumber": 1}', "JSON object with string values"),
        ('{"SerialNumber": null}', "JSON object with string values"),
    ],
)
def test_template_parameters_that_are_no_object_of_texts(
    agent: Agent, text: str, words: str
) -> None:
    done = agent.provision(template_parameters=text)
    assert_error(done, 2, "usage", "--template-parameters", words)
    assert not agent.state_dir.exists()


# The claim's policy ---------------------------------------------------------------------------------------------------

CSR = "$aws/certificates/create-from-csr/json"
KEYS = "$aws/certificates/create/json"
REGISTER = "$aws/provisioning-templates/{template}/provision/json"


@pytest.mark.parametrize(
    ("without", "method", "action", "resource"),
    [
        ("connect", "csr", "iot:Connect", "client/claim-*"),
        ("subscribe create-from-csr", "csr", "iot:Subscribe", f"topicfilter/{CSR}/*"),
        ("subscribe create-keys", "keys", "iot:Subscribe", f"topicfilter/{KEYS}/*"),
        ("subscribe register-thing", "csr", "iot:Subscribe", f"topicfilter/{REGISTER}/*"),
        ("publish create-from-csr", "csr", "iot:Publish", f"topic/{CSR}"),
        ("publish create-keys", "keys", "iot:Publish", f"topic/{KEYS}"),
        ("publish register-thing", "csr", "iot:Publish", f"topic/{REGISTER}"),
    ],
)
def test_claim_policy_without_a_statement(
    fleet: Fleet,
    tmp_path: Path,
    without: str,
    method: str,
    action: str,
    resource: str,
) -> None:
    lacking = make_fleet(fleet.sandbox, tmp_path / "claim", without=[without])
    agent = Agent(lacking, tmp_path, method=method)
    done = agent.provision()
    wanted = resource.replace("{template}", lacking.template)
    assert_error(done, 77, "not-allowed", "claim's policy", action, wanted)
    remedy = done.error["remedy"]
    statement = json.loads(remedy[remedy.index("{") : remedy.index("}") + 1])
    assert statement["Action"] == action
    assert statement["Resource"].endswith(f":{wanted}")
    if without != "publish register-thing":
        assert_nothing_issued(agent)


@pytest.mark.parametrize("operation", ["create-from-csr", "register-thing"])
def test_claim_policy_that_lets_no_answer_through(
    fleet: Fleet, tmp_path: Path, operation: str
) -> None:
    lacking = make_fleet(fleet.sandbox, tmp_path / "claim", without=[f"receive {operation}"])
    agent = Agent(lacking, tmp_path)
    done = agent.provision("--timeout", "3")
    topic = CSR if operation == "create-from-csr" else REGISTER
    topic = topic.replace("{template}", lacking.template)
    assert_error(done, 69, "answer-missing", topic)
    assert f"iot:Receive on topic/{topic}/*" in done.error["remedy"]


# The way there --------------------------------------------------------------------------------------------------------


def test_endpoint_that_does_not_resolve(agent: Agent) -> None:
    done = agent.provision("--timeout", "2", endpoint="nowhere.invalid")
    assert_error(done, 69, "endpoint-unknown", "nowhere.invalid", "does not resolve")
    assert "describe-endpoint" in done.error["remedy"]
    assert done.seconds < 6
    assert_nothing_issued(agent)


def test_port_refused(agent: Agent) -> None:
    port = free_port()
    done = agent.provision("--timeout", "2", port=port)
    assert_error(done, 69, "endpoint-unreachable", f"localhost:{port}", "refused")
    assert done.seconds < 6
    assert_nothing_issued(agent)


def test_ca_that_does_not_vouch_for_the_endpoint(agent: Agent, tmp_path: Path) -> None:
    other = make_pair(tmp_path / "other").certificate
    done = agent.provision(ca_file=other)
    assert_error(
        done, 69, "server-untrusted", other, "the CA", f"localhost:{agent.fleet.sandbox.mqtt_port}"
    )
    assert "AmazonRootCA1.pem" in done.error["remedy"]
    assert done.seconds < 8
    assert_nothing_issued(agent)
    assert_goes_on(agent)


def test_no_ca_file_where_the_system_does_not_know_the_ca(agent: Agent) -> None:
    done = agent.provision(ca_file=None)
    assert (done.status, done.error["code"]) == (69, "server-untrusted"), done.stderr
    assert "system" in done.error["title"]
    assert done.seconds < 8


@pytest.mark.parametrize("content", ["truncated", "empty", "words"])
def test_ca_file_that_is_none(agent: Agent, tmp_path: Path, content: str) -> None:
    file = tmp_path / "ca.pem"
    if content == "truncated":
        file = truncated(agent.fleet.sandbox.ca_file, tmp_path)
    else:
        file.write_text("" if content == "empty" else "not a certificate\n")
    done = agent.provision(ca_file=file)
    assert_error(done, 78, "ca-invalid", file)
    assert_nothing_issued(agent)


def test_server_with_a_certificate_for_another_name(agent: Agent, tmp_path: Path) -> None:
    server = make_pair(tmp_path / "server", name="elsewhere.example")
    with tls_server(server) as port:
        done = agent.provision(port=port, ca_file=server.certificate)
    names = server.certificate, "elsewhere.example", f"localhost:{port}"
    assert_error(done, 69, "server-untrusted", *names)
    assert "describe-endpoint" in done.error["remedy"]
    assert done.seconds < 8


def test_server_certificate_expired(agent: Agent, tmp_path: Path) -> None:
    server = make_pair(tmp_path / "server", name="localhost", valid_to=YESTERDAY)
    with tls_server(server) as port:
        done = agent.provision("--timeout", "6", port=port, ca_file=server.certificate)
    assert_error(
        done, 69, "server-certificate-dates", f"localhost:{port}", "expired", "clock says"
    )
    assert "timedatectl" in done.error["remedy"]


def test_no_endpoint(agent: Agent) -> None:
    done = agent.provision(endpoint=None, env={"HOME": "/nonexistent"})
    assert_error(done, 2, "usage", "--endpoint")
    assert "--config FILE" in done.error["remedy"]
    assert not agent.state_dir.exists()


@pytest.mark.parametrize("flag", ["cert", "key", "template_name"])
def test_claim_or_template_not_given(agent: Agent, flag: str) -> None:
    done = agent.but(**{flag: None}).provision()
    assert done.status == 78, done.stderr
    assert done.error["code"] == "configuration"
    assert_nothing_issued(agent)


def test_unknown_flag(agent: Agent) -> None:
    done = agent.provision("--no-such-flag")
    assert_error(done, 2, "usage", "--no-such-flag")
    assert "--help" in done.error["remedy"]


# The state directory --------------------------------------------------------------------------------------------------


def unprivileged() -> list[str]:
    """What makes a command run as a user that owns nothing; root may write everywhere."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root, and no setpriv here to be somebody else")
    words = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    if run_command("--version", under=words).status != 0:
        pytest.skip("root, and nobody else may run the command from here")
    return words


@contextmanager
def readable_by_all(agent: Agent) -> Iterator[Path]:
    """A folder that everybody may enter, with everything the agent needs to read in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file in (agent.fleet.claim.certificate, agent.fleet.claim.private_key):
            shutil.copy(file, folder)
        shutil.copy(agent.fleet.sandbox.ca_file, folder / "ca.pem")
        for file in folder.iterdir():
            file.chmod(0o644)
        yield folder


def flags_in(folder: Path, agent: Agent) -> dict[str, Path]:
    claim = agent.fleet.claim
    return {
        "cert": folder / claim.certificate.name,
        "key": folder / claim.private_key.name,
        "ca_file": folder / "ca.pem",
    }


def test_state_directory_that_cannot_be_made(agent: Agent) -> None:
    under = unprivileged()
    with readable_by_all(agent) as folder:
        folder.chmod(0o555)
        state_dir = folder / "state"
        done = agent.but(**flags_in(folder, agent)).provision(under=under, state_dir=state_dir)
        folder.chmod(0o755)
    assert_error(done, 73, "state-eacces", state_dir, "Permission denied")
    assert "--state-dir" in done.error["remedy"]


def test_state_directory_of_somebody_else(agent: Agent, faults: FaultClient) -> None:
    under = unprivileged()
    with readable_by_all(agent) as folder:
        state_dir = folder / "state"
        state_dir.mkdir(mode=0o555)
        done = agent.but(**flags_in(folder, agent)).provision(under=under, state_dir=state_dir)
    assert_error(done, 73, "state-not-writable", state_dir, "Permission denied")
    assert "--state-dir" in done.error["remedy"]
    assert faults.calls()["calls"] == []


@pytest.mark.parametrize("below", [".", "state"])
@pytest.mark.parametrize("who", [list, unprivileged])
def test_state_directory_that_is_a_file_or_below_one(
    agent: Agent, below: str, who: Callable[[], list[str]]
) -> None:
    under = who()
    with readable_by_all(agent) as folder:
        (folder / "file").write_text("")
        made = agent.but(**flags_in(folder, agent))
        done = made.provision(under=under, state_dir=folder / "file" / below)
        assert_error(done, 73, "state-damaged", folder / "file", "is not a folder")
    assert "choose another place with --state-dir" in done.error["remedy"]
    assert "mv " not in done.error["remedy"]  # it may be somebody else's


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def test_state_directory_in_memory(agent: Agent, memory: Path, faults: FaultClient) -> None:
    """The service refuses it; by hand it is a warning that --allow-volatile ends."""
    state_dir = memory / "state"
    flags = agent.flags(state_dir=state_dir)
    done = run_command("run", "--json", *flags)
    assert_error(done, 73, "state-volatile", state_dir, "tmpfs")
    assert "--allow-volatile" in done.error["remedy"]
    assert faults.calls()["calls"] == []
    assert not state_dir.exists()
    state_dirs.append(state_dir)
    done = run_command("provision", "--json", *flags)
    assert done.status == 0, done.stderr
    assert "is in memory (tmpfs)" in done.stderr
    assert "is in memory" not in run_command("provision", *flags, "--allow-volatile").stderr


def test_second_agent_in_one_state_directory(agent: Agent, faults: FaultClient) -> None:
    faults.add("create-from-csr", "delay", seconds=3)
    with agent.running("--json", verb="provision") as first:
        first.wait_for_line("claim session")
        done = agent.provision()
        assert_error(
            done, 75, "state-locked", agent.state_dir, f"process {first.pid}", "fleet-agent"
        )
        assert "systemctl stop" in done.error["remedy"]
        assert first.process.wait(20) == 0
    assert list(agent.ledger().values()) == [["issued", "registered", "current"]]


# An attempt under way, an identity that is there ---------------------------------------------------------------------


def interrupted(agent: Agent, faults: FaultClient) -> str:
    """Leaves an attempt with an issued certificate; gives its id."""
    faults.add("register-thing", "reject", status_code=403)
    assert agent.provision().status == 77
    (certificate_id,) = agent.ledger()
    return certificate_id


def test_attempt_for_another_template(
    agent: Agent, sandbox_fleet: Fleet, faults: FaultClient
) -> None:
    first = interrupted(agent, faults)
    claim = sandbox_fleet.claim
    other = agent.but(
        template_name=sandbox_fleet.template, cert=claim.certificate, key=claim.private_key
    )
    done = other.provision()
    names = agent.fleet.template, sandbox_fleet.template
    assert_error(done, 78, "attempt-differs", *names)
    assert "--restart" in done.error["remedy"]
    assert list(agent.ledger()) == [first]
    done = other.provision("--restart")
    assert done.status == 0, done.stderr
    assert done.answer["thing_name"] == sandbox_fleet.thing_name(agent.serial)
    assert agent.ledger()[first][0] == "issued"
    assert agent.ledger()[first][-1] in {"unresolved", "dropped"}


def test_attempt_for_something_else_that_no_certificate_came_of_is_left(
    agent: Agent, sandbox_fleet: Fleet, faults: FaultClient
) -> None:
    faults.add("create-from-csr", "reject", status_code=403)
    assert agent.provision().status == 77
    claim = sandbox_fleet.claim
    other = agent.but(
        template_name=sandbox_fleet.template, cert=claim.certificate, key=claim.private_key
    )
    done = other.provision()
    assert done.status == 0, done.stderr
    assert len(agent.ledger()) == 1


def test_begun_again_and_again_it_asks_no_faster(agent: Agent, faults: FaultClient) -> None:
    faults.add("register-thing", "reject", calls="every", status_code=403)
    for _ in range(4):
        done = agent.provision("--restart", "--timeout", "20")
        assert done.status == 77, done.stderr
    (attempt,) = agent.credentials.glob("*/attempt.json")
    found = json.loads(attempt.read_text())
    assert found["tries"] == 4
    assert found["not_before"] > found["opened"]
    assert (
        sorted(events[-1] for events in agent.ledger().values()) == ["issued"] + ["unresolved"] * 3
    )


def test_restart_of_an_attempt_beside_a_live_identity(agent: Agent, faults: FaultClient) -> None:
    assert agent.provision().status == 0
    faults.add("register-thing", "reject", status_code=403)
    assert agent.provision("--force").status == 77
    done = agent.provision("--restart")
    assert_error(done, 2, "usage", "provisioned")
    assert "--force --restart" in done.error["remedy"]
    assert agent.provision("--force", "--restart").status == 0


def test_attempt_by_another_method(agent: Agent, faults: FaultClient) -> None:
    interrupted(agent, faults)
    done = agent.provision(method="keys")
    assert_error(done, 78, "attempt-differs", "method csr", "method keys")
    assert_goes_on(agent)
    assert len(agent.ledger()) == 1


def test_already_provisioned(agent: Agent, faults: FaultClient) -> None:
    first = agent.provision()
    assert first.status == 0, first.stderr
    before = faults.calls()["calls"]
    again = agent.provision()
    assert again.status == 0
    assert "already provisioned" in again.stderr
    assert again.steps == []
    assert {**again.answer, "seconds": 0} == {**first.answer, "seconds": 0}
    assert faults.calls()["calls"] == before


def test_already_provisioned_and_the_cloud_is_gone(agent: Agent) -> None:
    assert agent.provision().status == 0
    done = agent.provision(endpoint="nowhere.invalid", cert="/nonexistent", key="/nonexistent")
    assert done.status == 0, done.stderr


def test_force_over_a_live_identity(agent: Agent) -> None:
    first = agent.provision().answer["certificate_id"]
    done = agent.provision("--force")
    assert done.status == 0, done.stderr
    second = done.answer["certificate_id"]
    assert second != first
    assert agent.current_id() == second
    assert agent.ledger() == {
        first: ["issued", "registered", "current", "retired"],
        second: ["issued", "registered", "current"],
    }


def test_force_over_an_identity_whose_key_is_empty(agent: Agent) -> None:
    first = agent.provision().answer["certificate_id"]
    (agent.credentials / "current" / "private.pem.key").write_bytes(b"")
    assert_error(agent.provision(), 78, "credential-damaged", "private.pem.key is empty")
    done = agent.provision("--force")
    assert done.status == 0, done.stderr
    assert agent.ledger()[first] == ["issued", "registered", "current", "retired"]
    assert agent.status().status == 3
