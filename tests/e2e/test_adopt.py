"""``fleet-agent adopt``: a certificate and key that the device has already, from any source, each failure by its name.

Exit statuses: 69 not reachable, 77 refused by AWS, 78 wrong here.
"""

import os
from pathlib import Path

import pytest

from support.adopted import Pair, make_pair_of_thing, origin
from support.agent import Agent, Outcome, run_command, until
from support.certificates import LONG_AGO, TOMORROW, YESTERDAY, make_certificate, make_pair
from support.csr import key_pem, make_key
from support.faulttable import ADOPT, Seen, tell
from support.fleets import Fleet, allow_rotation, make_fleet
from support.softhsm import SoftHsm
from support.tls import free_port


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    return Agent(fleet, tmp_path)


@pytest.fixture
def sandbox_fleet(fleet: Fleet, tmp_path: Path) -> Fleet:
    """A fleet of one's own: whoever changes the policy of the shared one disturbs the other tests."""
    return make_fleet(fleet.sandbox, tmp_path)


@pytest.fixture
def pair(agent: Agent, tmp_path: Path) -> Pair:
    return make_pair_of_thing(agent.fleet, tmp_path / "given", agent.serial)


def adopt(agent: Agent, *more: str | Path, env: dict[str, str] | None = None) -> Outcome:
    sandbox = agent.fleet.sandbox
    where = ("--endpoint", sandbox.endpoint, "--port", str(sandbox.mqtt_port))
    kept = ("--ca-file", sandbox.ca_file, "--state-dir", agent.state_dir, "--allow-volatile")
    return run_command("adopt", "--json", *where, *kept, *more, env=env)


def files_of(pair: Pair) -> tuple[str | Path, ...]:
    return ("--cert", pair.certificate, "--key", pair.private_key)


def named(pair: Pair) -> tuple[str | Path, ...]:
    return (*files_of(pair), "--thing-name", pair.thing_name)


def assert_refused(
    agent: Agent, done: Outcome, fault: str, status: int, code: str, *words: object
) -> None:
    """Its exit status and code, its own words, a remedy; and nothing is in use: a row of the table of faults."""
    assert (done.status, done.error["code"]) == (status, code), done.stderr
    for word in words:
        assert str(word) in done.error["title"] + done.error["remedy"]
    assert done.error["remedy"]
    assert "Traceback" not in done.stderr
    assert agent.current_id() is None
    tell(Seen(ADOPT, fault, status, 1, f"fleet-agent: {done.error['title']}"))


def test_pair_that_aws_made(agent: Agent, pair: Pair) -> None:
    before = pair.certificate.read_bytes(), pair.private_key.read_bytes()
    done = adopt(agent, *named(pair))
    assert done.status == 0, done.stderr
    assert done.steps == ["clock", "stored", "adopted", "proven", "current"]
    assert done.answer["thing_name"] == pair.thing_name
    assert done.answer["certificate_id"] == pair.certificate_id == agent.current_id()
    assert done.answer["origin"] == origin(agent.credentials / "current") == "adopted"
    assert agent.ledger() == {pair.certificate_id: ["adopted", "current"]}
    assert (pair.certificate.read_bytes(), pair.private_key.read_bytes()) == before
    # Nothing was asked of the cloud: it is the same certificate, and the only one.
    assert agent.fleet.certificate_ids(pair.thing_name) == [pair.certificate_id]
    shown = agent.status().answer
    assert (shown["origin"], shown["template"]) == ("adopted", None)
    again = adopt(agent, *named(pair))
    assert (again.status, again.answer["was_there"]) == (0, True)


def test_files_are_deleted_on_request_only_once_it_is_in_use(agent: Agent, pair: Pair) -> None:
    wrong = adopt(
        agent, *named(pair), "--delete-files", "--port", str(free_port()), "--timeout", "2"
    )
    assert wrong.status == 69
    assert pair.private_key.exists()
    done = adopt(agent, *named(pair), "--delete-files")
    assert done.status == 0, done.stderr
    assert done.answer["deleted"] == [str(pair.private_key), str(pair.certificate)]
    assert not pair.private_key.exists()
    assert not pair.certificate.exists()


def test_chain_in_the_certificate_s_file(agent: Agent, pair: Pair, tmp_path: Path) -> None:
    chain = make_pair(tmp_path / "ca").certificate.read_text()
    with pair.certificate.open("a") as out:
        out.write(chain)
    done = adopt(agent, *named(pair))
    assert done.status == 0, done.stderr
    assert agent.current_id() == pair.certificate_id


def test_key_in_a_token_stays_there(agent: Agent, pair: Pair, tmp_path: Path) -> None:
    hsm = SoftHsm(tmp_path)
    hsm.put(pair.private_key, "factory")
    uri = hsm.uri("factory")
    said = ("--cert", pair.certificate, "--key", uri, "--thing-name", pair.thing_name)
    done = adopt(agent, *said, env=hsm.environment)
    assert done.status == 0, done.stderr
    assert not (agent.credentials / "current" / "private.pem.key").exists()
    assert hsm.labels() == ["factory"]


def test_run_adopts_what_the_configuration_names(agent: Agent, pair: Pair, tmp_path: Path) -> None:
    identity = {
        "certificate": str(pair.certificate),
        "private_key": str(pair.private_key),
        "thing_name": pair.thing_name,
    }
    config = agent.configuration(tmp_path / "config.yaml", identity=identity)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        assert agent.current_id() == pair.certificate_id
        assert daemon.end() == 0
    # What was adopted is a copy: the next start needs the files no more.
    pair.certificate.unlink()
    pair.private_key.unlink()
    with agent.running(config=config) as daemon:
        daemon.wait_connected()


def test_rotation_where_the_template_allows_it_and_what_is_missing_where_not(
    sandbox_fleet: Fleet, tmp_path: Path
) -> None:
    agent = Agent(sandbox_fleet, tmp_path)
    pair = make_pair_of_thing(sandbox_fleet, tmp_path / "given", agent.serial)
    assert adopt(agent, *named(pair)).status == 0
    config = agent.configuration(tmp_path / "bare.yaml", claim=None, provisioning=None)
    words = ("rotate", "--json", "--force", "--config")
    refused = run_command(*words, config)
    assert (refused.status, refused.error["code"]) == (78, "rotation-unconfigured")
    assert "`provisioning`" in refused.error["title"]
    assert pair.thing_name in refused.error["remedy"]
    assert agent.current_id() == pair.certificate_id
    allow_rotation(sandbox_fleet)
    config = agent.configuration(tmp_path / "whole.yaml", claim=None)
    done = run_command(*words, config)
    assert done.status == 0, done.stderr
    assert agent.current_id() != pair.certificate_id
    assert agent.ledger()[pair.certificate_id] == ["adopted", "current", "retired"]
    assert set(sandbox_fleet.certificate_ids(pair.thing_name)) == set(agent.ledger())


# Wrong ----------------------------------------------------------------------------------------------------------------


def test_key_of_another_certificate(agent: Agent, pair: Pair, tmp_path: Path) -> None:
    other = make_pair(tmp_path / "other").private_key
    done = adopt(agent, "--cert", pair.certificate, "--key", other, "--thing-name", "x")
    assert_refused(
        agent, done, "key of another certificate", 78, "key-mismatch", other, pair.certificate
    )


def test_certificate_that_expired(agent: Agent, tmp_path: Path) -> None:
    old = make_pair(tmp_path / "old", valid_from=LONG_AGO, valid_to=YESTERDAY)
    done = adopt(agent, "--cert", old.certificate, "--key", old.private_key, "--thing-name", "x")
    expired = f"expired on {YESTERDAY:%Y-%m-%dT%H:%M:%SZ}"
    assert_refused(
        agent,
        done,
        "certificate that expired",
        78,
        "certificate-expired",
        old.certificate,
        expired,
    )


def test_certificate_without_a_thing_s_name(agent: Agent, pair: Pair) -> None:
    done = adopt(agent, *files_of(pair))
    assert_refused(
        agent,
        done,
        "the thing's name is not set",
        78,
        "thing-name-missing",
        "AWS IoT Certificate",
        "--thing-name",
    )


def test_certificate_that_aws_does_not_know(agent: Agent, tmp_path: Path) -> None:
    own = make_pair(tmp_path / "own", name="pump-7")
    done = adopt(agent, "--cert", own.certificate, "--key", own.private_key, "--timeout", "4")
    # A CA of one's own: AWS IoT may be registering it at this moment.
    assert_refused(
        agent,
        done,
        "unknown to AWS IoT, or of another account",
        77,
        "connect-unanswered",
        own.certificate,
        "JITP",
        "Not found",
    )


@pytest.mark.parametrize("status", ["REVOKED", "INACTIVE"])
def test_certificate_that_is_not_active(agent: Agent, pair: Pair, status: str) -> None:
    agent.fleet.iot.update_certificate(certificateId=pair.certificate_id, newStatus=status)
    done = adopt(agent, *named(pair), "--timeout", "4")
    words = pair.certificate_id, "not ACTIVE", status
    assert_refused(agent, done, f"certificate {status}", 77, "connect-unanswered", *words)
    # What was begun stands in nobody's way.
    if status == "INACTIVE":
        agent.fleet.iot.update_certificate(certificateId=pair.certificate_id, newStatus="ACTIVE")
        assert adopt(agent, *named(pair)).status == 0


def test_endpoint_that_is_none(agent: Agent, pair: Pair) -> None:
    done = adopt(agent, *named(pair), "--port", str(free_port()), "--timeout", "2")
    assert_refused(agent, done, "the endpoint does not answer", 69, "endpoint-unreachable")


def test_certificate_that_is_not_valid_yet(agent: Agent, tmp_path: Path) -> None:
    new = make_pair(tmp_path / "new", valid_from=TOMORROW, name="pump-7")
    done = adopt(agent, "--cert", new.certificate, "--key", new.private_key, "--timeout", "2")
    # Or the clock is wrong: nobody can tell which.
    assert_refused(agent, done, "certificate that is not valid yet", 69, "clock", new.certificate)


def test_key_that_aws_takes_from_nobody(agent: Agent, tmp_path: Path) -> None:
    key = make_key("rsa-1024")
    certificate, file = tmp_path / "weak.pem", tmp_path / "weak.key"
    certificate.write_text(make_certificate(key, name="pump-7"))
    file.write_bytes(key_pem(key))
    done = adopt(agent, "--cert", certificate, "--key", file)
    words = certificate, "an RSA key of 1024 bits"
    assert_refused(agent, done, "key that AWS IoT does not accept", 78, "key-invalid", *words)


@pytest.mark.parametrize(
    "kind",
    [
        "a folder",
        "a PKCS#12 bundle",
        pytest.param("a FIFO", marks=pytest.mark.thorough),
        pytest.param("nothing", marks=pytest.mark.thorough),
    ],
)
def test_file_that_holds_no_certificate(
    agent: Agent, pair: Pair, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "given.pem"
    if kind == "a folder":
        file.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(file)
    elif kind == "a PKCS#12 bundle":
        file.write_bytes(bytes.fromhex("30820a1f020103") + bytes(99))
    done = adopt(agent, "--cert", file, "--key", pair.private_key, "--thing-name", pair.thing_name)
    code = "certificate-invalid" if "bundle" in kind else "file-unreadable"
    assert_refused(agent, done, f"{kind} in place of the certificate's file", 78, code, file)
    # What is to be pasted must harm nothing that is not the certificate.
    assert "chmod" not in done.error["remedy"]


def test_files_as_other_tools_write_them(agent: Agent, pair: Pair) -> None:
    """Windows's line ends, a byte order mark, attributes between the blocks: as `openssl pkcs12 -nodes` has them."""
    whole = f"Bag Attributes\n    localKeyID: 01\n{pair.private_key.read_text()}"
    whole = f"{whole}subject=CN = pump\n{pair.certificate.read_text()}".replace("\n", "\r\n")
    pair.certificate.write_bytes(b"\xef\xbb\xbf" + whole.encode())
    done = adopt(agent, "--cert", pair.certificate, "--key", pair.certificate, *named(pair)[4:])
    assert done.status == 0, done.stderr
    kept = (agent.credentials / "current" / "certificate.pem.crt").read_text()
    assert "PRIVATE KEY" not in kept
    assert agent.current_id() == pair.certificate_id


@pytest.mark.thorough
def test_key_in_a_token_and_a_certificate_that_aws_does_not_know(
    agent: Agent, tmp_path: Path
) -> None:
    own, hsm = make_pair(tmp_path / "own", name="pump-7"), SoftHsm(tmp_path)
    hsm.put(own.private_key, "factory")
    said = ("--cert", own.certificate, "--key", hsm.uri("factory"), "--timeout", "4")
    done = adopt(agent, *said, env=hsm.environment)
    assert (done.status, done.error["code"]) == (77, "connect-unanswered"), done.stderr


def test_another_thing_s_name(agent: Agent, pair: Pair) -> None:
    done = adopt(agent, *files_of(pair), "--thing-name", "somebody-else", "--timeout", "4")
    assert_refused(
        agent,
        done,
        "its policy does not allow it to connect as that thing",
        77,
        "not-allowed",
        "client/somebody-else",
    )


def test_another_identity_is_in_use(agent: Agent, pair: Pair, tmp_path: Path) -> None:
    assert adopt(agent, *named(pair)).status == 0
    other = make_pair_of_thing(agent.fleet, tmp_path / "second", f"{agent.serial}b")
    refused = adopt(agent, *named(other))
    assert (refused.status, refused.error["code"]) == (78, "identity-in-use")
    assert agent.current_id() == pair.certificate_id
    assert adopt(agent, *named(other), "--force").status == 0
    assert agent.current_id() == other.certificate_id


def test_certificate_that_is_registered_while_it_is_tried(agent: Agent, tmp_path: Path) -> None:
    fleet, thing = agent.fleet, agent.thing_name
    own = make_pair(tmp_path / "own", name=thing)
    identity = {"certificate": str(own.certificate), "private_key": str(own.private_key)}
    config = agent.configuration(tmp_path / "config.yaml", identity=identity)
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("may still be registering it through its CA")
        fleet.iot.create_thing(thingName=thing)
        made = fleet.iot.register_certificate_without_ca(
            certificatePem=own.certificate.read_text(), status="ACTIVE"
        )
        arn = made["certificateArn"]
        fleet.iot.attach_policy(policyName=fleet.device_policy, target=arn)
        fleet.iot.attach_thing_principal(thingName=thing, principal=arn)
        daemon.wait_connected()
        assert agent.current_id() == made["certificateId"]


def test_certificate_of_a_ca_of_ones_own_that_registers_as_it_comes(
    agent: Agent, tmp_path: Path
) -> None:
    """JITR: AWS IoT registers it with its first connection, which it ends; an operator's function makes it ACTIVE."""
    iot, thing, ca_key, key = agent.fleet.iot, agent.thing_name, make_key(), make_key()
    ca = make_certificate(ca_key, name="house")
    made = iot.register_ca_certificate(
        caCertificate=ca, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    certificate, file = tmp_path / "device.pem", tmp_path / "device.key"
    signed = make_certificate(ca_key, name=thing, issuer="house", public_key=key.public_key())
    certificate.write_text(signed + ca)
    file.write_bytes(key_pem(key))
    identity = {"certificate": str(certificate), "private_key": str(file)}
    config = agent.configuration(tmp_path / "config.yaml", identity=identity)
    with agent.running(config=config) as daemon:
        daemon.wait_for_line("may still be registering it through its CA")
        (pending,) = until(
            lambda: iot.list_certificates_by_ca(caCertificateId=made["certificateId"])[
                "certificates"
            ],
            "registered by its CA",
        )
        assert pending["status"] == "PENDING_ACTIVATION"
        iot.create_thing(thingName=thing)
        iot.attach_policy(policyName=agent.fleet.device_policy, target=pending["certificateArn"])
        iot.attach_thing_principal(thingName=thing, principal=pending["certificateArn"])
        iot.update_certificate(certificateId=pending["certificateId"], newStatus="ACTIVE")
        daemon.wait_connected()
        assert agent.current_id() == pending["certificateId"]
        assert daemon.end() == 0


def test_another_pair_takes_the_place_of_one_that_was_not_proven(
    agent: Agent, pair: Pair, tmp_path: Path
) -> None:
    own = make_pair(tmp_path / "own", name="pump-7")
    first = adopt(agent, "--cert", own.certificate, "--key", own.private_key, "--timeout", "3")
    assert first.status == 77
    assert adopt(agent, *named(pair)).status == 0
    assert agent.current_id() == pair.certificate_id
