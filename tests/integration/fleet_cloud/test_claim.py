"""Claims and the configuration, from the operator's command to a device on real TLS and MQTT 5."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from awscrt.exceptions import AwsCrtError

from fleet_agent.config.load import load
from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.claimant import CREATE_FROM_CSR, CREATE_KEYS, Claimant, Provisioned
from support.companion import FleetCloud, answer
from support.fleets import Claim, Fleet
from support.mqtt import ConnectRefusedError, Device, connected

NOT_AUTHORIZED = 135


@dataclass(frozen=True)
class Image:
    """A folder that becomes /etc/fleet-agent, and the fleet it is for."""

    folder: Path
    fleet: Fleet


@pytest.fixture(scope="module")
def image(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Image:
    """What the two commands of the how-to page make."""
    folder = tmp_path_factory.mktemp("operator") / "image"
    fleet_cloud("up", "--name", "bins")
    words = ("claim", "new", "--name", "bins", "--image", folder, "--ca-file", sandbox.ca_file)
    made = answer(fleet_cloud(*words, "--fleet-size", "1000", "--json"))
    claim = Claim(
        made["certificate_id"], Path(made["certificate_file"]), Path(made["private_key_file"])
    )
    return Image(folder, Fleet(sandbox, "bins", "bins", "bins-device", "bins-claim", claim))


def claimant(fleet: Fleet, device: Device) -> Claimant:
    return Claimant(device, fleet)


def refused(session: Device, attempt: Callable[[Device], object]) -> bool:
    """Whether AWS IoT says no, by a reason code or by ending the connection."""
    try:
        return attempt(session) in (NOT_AUTHORIZED, [NOT_AUTHORIZED])
    except AwsCrtError:  # the connection was cut
        return True


def test_configuration_fits_the_agent_and_the_account(image: Image, sandbox: Sandbox) -> None:
    settings = load(image.folder / "config.yaml")
    assert (settings.endpoint, settings.port) == (sandbox.endpoint, sandbox.mqtt_port)
    assert settings.ca_file is not None
    assert Path(settings.ca_file).read_bytes() == Path(sandbox.ca_file).read_bytes()
    assert settings.claim is not None
    assert Path(settings.claim.certificate) == image.fleet.claim.certificate
    assert Path(settings.claim.private_key) == image.fleet.claim.private_key
    assert settings.provisioning is not None
    assert settings.provisioning.template == "bins"
    assert settings.provisioning.spread


def test_device_provisions_under_the_claim_and_reaches_its_own_topics_only(
    image: Image, sandbox: Sandbox, tmp_path: Path
) -> None:
    with connected(sandbox, image.fleet.claim, "claim-0123456789abcdef") as under_claim:
        walker = claimant(image.fleet, under_claim)
        for topic in (CREATE_KEYS, CREATE_FROM_CSR, walker.register_topic):
            assert under_claim.subscribe(f"{topic}/accepted", f"{topic}/rejected") == [1, 1]
        how, _ = walker.create_keys()
        assert how == "accepted"
        device, other = walker.provision(tmp_path), "bins-another"

    assert device.thing_name.startswith("bins-s")
    own, foreign = f"dt/{device.thing_name}/system", f"dt/{other}/system"
    with connected(sandbox, device, device.thing_name) as session:
        assert session.subscribe(f"cmd/{device.thing_name}/#", own) == [1, 1]
        assert session.publish(own, {"uptime": 1}) == 0
        assert session.receive() == (own, {"uptime": 1})
    beyond: list[Callable[[Device], object]] = [
        lambda connection: connection.publish(foreign, {}),
        lambda connection: connection.publish("dt", {}),
        lambda connection: connection.subscribe(f"cmd/{other}/#"),
        lambda connection: connection.subscribe("#"),
        lambda connection: connection.publish(CREATE_KEYS, {}),
    ]
    for forbidden in beyond:
        with connected(sandbox, device, device.thing_name) as session:
            assert refused(session, forbidden)
    with pytest.raises(ConnectRefusedError):
        Device(sandbox, device, other)


def test_claim_can_do_nothing_but_provision(image: Image, sandbox: Sandbox) -> None:
    claim = image.fleet.claim
    with pytest.raises(ConnectRefusedError):
        # A device's client id: taking it would throw the device out.
        Device(sandbox, claim, "bins-s1")
    beyond: list[Callable[[Device], object]] = [
        lambda connection: connection.publish("dt/bins-s1/system", {}),
        lambda connection: connection.publish(
            "$aws/provisioning-templates/other/provision/json", {}
        ),
        lambda connection: connection.subscribe("dt/#"),
        lambda connection: connection.subscribe("#"),
    ]
    for number, forbidden in enumerate(beyond):
        with connected(sandbox, claim, f"claim-{number}") as session:
            assert refused(session, forbidden)


def test_claim_is_kept_finished_or_refused_but_never_made_twice(
    fleet_cloud: FleetCloud, image: Image
) -> None:
    claim, iot = image.fleet.claim, image.fleet.iot
    assert claim.private_key.stat().st_mode & 0o777 == 0o600
    assert claim.certificate.stat().st_mode & 0o777 == 0o600
    before = claim.private_key.read_bytes(), claim.certificate.read_bytes()
    words = ("claim", "new", "--name", "bins", "--out", claim.private_key.parent, "--json")

    assert answer(fleet_cloud(*words))["state"] == "unchanged"
    arn = iot.describe_certificate(certificateId=claim.certificate_id)["certificateDescription"][
        "certificateArn"
    ]
    iot.detach_policy(policyName="bins-claim", target=arn)
    again = answer(fleet_cloud(*words))
    assert (again["state"], again["certificate_id"]) == ("finished", claim.certificate_id)
    assert iot.list_attached_policies(target=arn)["policies"][0]["policyName"] == "bins-claim"

    iot.update_certificate(certificateId=claim.certificate_id, newStatus="INACTIVE")
    error = answer(fleet_cloud(*words, status=1))["error"]
    iot.update_certificate(certificateId=claim.certificate_id, newStatus="ACTIVE")
    assert error["code"] == "certificate-inactive"
    assert before == (claim.private_key.read_bytes(), claim.certificate.read_bytes())


def test_key_that_is_there_is_used_and_its_certificate_names_the_batch(
    fleet_cloud: FleetCloud, image: Image, tmp_path: Path
) -> None:
    from cryptography import x509

    key = tmp_path / "claim.private.pem.key"
    key.write_bytes(image.fleet.claim.private_key.read_bytes())  # as an interrupted run left it
    key.chmod(0o600)
    fleet_cloud("claim", "new", "--name", "bins", "--out", tmp_path, "--batch", "b-7")
    assert key.read_bytes() == image.fleet.claim.private_key.read_bytes()
    made = x509.load_pem_x509_certificate((tmp_path / "claim.certificate.pem.crt").read_bytes())
    assert made.subject.rfc4514_string() == "CN=bins claim b-7"


def test_temporary_claim_provisions_and_its_end_is_told(
    fleet_cloud: FleetCloud, image: Image, tmp_path: Path
) -> None:
    words = ("claim", "temporary", "--name", "bins", "--out", tmp_path / "t")
    made = answer(fleet_cloud(*words, "--json"))
    assert made["ends"].endswith(" UTC")
    files = Path(made["certificate_file"]), Path(made["private_key_file"])
    assert files[1].stat().st_mode & 0o777 == 0o600
    with connected(image.fleet.sandbox, Claim("", *files), "claim-temporary") as device:
        provisioned: Provisioned = claimant(image.fleet, device).provision(tmp_path)
    assert provisioned.thing_name in image.fleet.things()
    assert "never overwritten" in fleet_cloud(*words, status=1).stderr


def test_claim_for_a_fleet_that_is_not_set_up_is_refused_before_a_key_is_made(
    fleet_cloud: FleetCloud, sandbox: Sandbox, tmp_path: Path
) -> None:
    for words in (("claim", "new"), ("claim", "temporary"), ("config",)):
        done = fleet_cloud(*words, "--name", "nobody", "--out", tmp_path / "none", status=1)
        assert "fleet-cloud up" in done.stderr
    assert not list(tmp_path.rglob("*.*"))
    names = [
        policy["policyName"] for policy in aws_client(sandbox, "iot").list_policies()["policies"]
    ]
    assert "nobody-claim" not in names


@pytest.mark.parametrize("kind", ["new", "temporary"])
@pytest.mark.parametrize(
    "flags",
    [("--ca-file", "no-such.pem"), ("--device-endpoint", "ht tp"), ("--fleet-size", "0")],
    ids=lambda flags: flags[0],
)
def test_claim_with_a_flag_that_cannot_be_is_refused_before_it_is_made(
    fleet_cloud: FleetCloud, image: Image, tmp_path: Path, kind: str, flags: tuple[str, str]
) -> None:
    folder = tmp_path / "image"
    words = ("claim", kind, "--name", image.fleet.name, "--image", folder)
    fleet_cloud(*words, *flags, status=2)
    assert not folder.exists()
