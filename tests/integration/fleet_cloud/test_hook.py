"""The hook's rule: the function that Lambda runs, asked as AWS IoT asks, with the sandbox's registry behind it."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fleet_cloud.aws.names import FleetNames
from fleet_cloud.plan import hook_settings
from fleet_cloud.plan.documents import Registry, template_body
from fleet_cloud.plan.hook import SETTINGS, handler, registry
from fleet_cloud.plan.hook.certificate import key_hash
from fleet_cloud.plan.hook.registration import ATTRIBUTE, PARAMETER, Registration
from fleet_cloud.plan.serials import Rules
from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.csr import Key, make_csr, make_key

NAMES = FleetNames("hook")
TEMPLATE = "arn:aws:iot:{}:{}:provisioningtemplate/hook"
serials = itertools.count(1)

Reply = dict[str, Any]


@dataclass
class Cloud:
    """The account, and the hook as AWS IoT calls it."""

    iot: Any
    template: str
    claim: str
    body: Any = field(default_factory=lambda: template_body(NAMES, remembers=True))
    rules: Rules | None = None

    def certificate(self, key: Key) -> Reply:
        """Makes a certificate over a key, as a device has it before it registers."""
        made: Reply = self.iot.create_certificate_from_csr(
            certificateSigningRequest=make_csr(key), setAsActive=False
        )
        return made

    def ask(self, serial: str, made: Reply, session: str | None = None) -> Reply:
        """Calls the function."""
        event = {
            "claimCertificateId": session or self.claim,
            "certificateId": made["certificateId"],
            "certificatePem": made["certificatePem"],
            "templateArn": self.template,
            "clientId": "claim-x",
            "parameters": {"SerialNumber": serial},
        }
        return handler.handler(event, None)

    def allows(self, serial: str, made: Reply, session: str | None = None) -> bool:
        """Calls the function, and does what AWS IoT does after a yes."""
        reply = self.ask(serial, made, session)
        if reply["allowProvisioning"]:
            payload = {
                ATTRIBUTE: reply["parameterOverrides"].get(PARAMETER, ""),
                "serialNumber": serial,
            }
            self.iot.update_thing(
                thingName=f"hook-{serial}",
                attributePayload={
                    "attributes": {k: v for k, v in payload.items() if v},
                    "merge": True,
                },
            )
            self.iot.update_certificate(certificateId=made["certificateId"], newStatus="ACTIVE")
            self.iot.attach_thing_principal(
                thingName=f"hook-{serial}", principal=made["certificateArn"]
            )
        return bool(reply["allowProvisioning"])

    def mark(self, serial: str, **known: Any) -> None:
        """Writes what an operator's command writes."""
        found = self.registration(serial)
        text = str(Registration(**{**found.__dict__, **known}))
        self.iot.update_thing(
            thingName=f"hook-{serial}",
            attributePayload={"attributes": {ATTRIBUTE: text}, "merge": True},
        )

    def registration(self, serial: str) -> Registration:
        found = self.iot.describe_thing(thingName=f"hook-{serial}")
        return Registration.read(found["attributes"].get(ATTRIBUTE))

    def in_service(self) -> tuple[str, Key, Reply]:
        """Registers a device."""
        serial, key = f"s{next(serials)}", make_key()
        made = self.certificate(key)
        assert self.allows(serial, made)
        return serial, key, made


@pytest.fixture
def cloud(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    iot = aws_client(sandbox, "iot")
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    claim = iot.create_keys_and_certificate(setAsActive=True)
    *_, region, account, _ = claim["certificateArn"].split(":")
    made = Cloud(iot, TEMPLATE.format(region, account), claim["certificateId"])
    set_rules(made, monkeypatch)
    registry.client.cache_clear()
    # As Lambda does before the first call, whose time is short.
    registry.client()
    yield made
    registry.client().close()
    registry.client.cache_clear()


def set_rules(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, **known: Any) -> None:
    settings = hook_settings.of_fleet(cloud.body, cloud.rules, known)
    monkeypatch.setenv(SETTINGS, json.dumps(settings.document()))


def test_new_device_registers_and_is_not_taken_over(cloud: Cloud) -> None:
    serial, _key, made = cloud.in_service()
    marked = cloud.registration(serial)
    assert (marked.given, marked.key) == (True, key_hash(made["certificatePem"]))
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    _, other_key, other = cloud.in_service()
    assert not cloud.allows(serial, cloud.certificate(other_key))
    # Under another device's certificate: neither its thing, nor a new one.
    session = other["certificateId"]
    assert not cloud.allows(serial, cloud.certificate(other_key), session)
    assert not cloud.allows("new-one", cloud.certificate(other_key), session)
    assert cloud.registration(serial).second == ""


def test_session_that_is_no_certificate_of_the_account_is_on_no_thing(cloud: Cloud) -> None:
    serial, key, _ = cloud.in_service()
    temporary = "f" * 64
    assert not cloud.allows(serial, cloud.certificate(make_key()), temporary)
    assert cloud.allows(serial, cloud.certificate(key), temporary)


def test_own_key_own_certificate_and_own_session_are_let_in(cloud: Cloud) -> None:
    serial, key, made = cloud.in_service()
    assert cloud.allows(serial, made)  # the answer was lost
    assert cloud.registration(serial).second == ""
    again = cloud.certificate(key)  # expired, revoked: a new certificate for the old key
    assert cloud.allows(serial, again)
    assert cloud.registration(serial).second == again["certificateId"]
    new_key = make_key()
    assert cloud.allows(serial, cloud.certificate(new_key), made["certificateId"])
    assert cloud.allows(serial, cloud.certificate(key))  # it still has a certificate of that key


def test_thing_from_before_the_hook_is_known_by_its_certificates(cloud: Cloud) -> None:
    serial, key = f"s{next(serials)}", make_key()
    made = cloud.certificate(key)
    cloud.iot.create_thing(thingName=f"hook-{serial}")
    cloud.iot.attach_thing_principal(thingName=f"hook-{serial}", principal=made["certificateArn"])
    cloud.iot.update_certificate(certificateId=made["certificateId"], newStatus="REVOKED")
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    assert cloud.allows(serial, cloud.certificate(key))


def test_thing_whose_certificate_is_gone_is_still_not_open(cloud: Cloud) -> None:
    serial, key, made = cloud.in_service()
    cloud.iot.detach_thing_principal(thingName=f"hook-{serial}", principal=made["certificateArn"])
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    assert cloud.allows(serial, cloud.certificate(key))


def test_window_lets_another_key_in_once_and_not_for_ever(cloud: Cloud) -> None:
    serial, _, _ = cloud.in_service()
    cloud.mark(serial, until=int(time.time()) + 60)
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    listed = make_key()
    expected = cloud.certificate(listed)
    cloud.mark(serial, expected=key_hash(expected["certificatePem"]))
    assert cloud.allows(serial, expected)
    cloud.mark(serial, until=int(time.time()) - 1, any_key=True)
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    cloud.mark(serial, until=int(time.time()) + 60, any_key=True)
    other = make_key()
    assert cloud.allows(serial, cloud.certificate(other))
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    assert cloud.allows(serial, cloud.certificate(other))


def test_expected_key_alone_registers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    serial, key = f"s{next(serials)}", make_key()
    made = cloud.certificate(key)
    cloud.iot.create_thing(thingName=f"hook-{serial}")
    cloud.mark(serial, expected=key_hash(made["certificatePem"]))
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    assert cloud.allows(serial, made)
    set_rules(cloud, monkeypatch, only=True)
    assert not cloud.allows("not-expected", cloud.certificate(make_key()))


def test_registration_under_way_keeps_others_out_for_minutes(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial, key = f"s{next(serials)}", make_key()
    assert cloud.ask(serial, cloud.certificate(key))["allowProvisioning"]  # and then nothing
    other = cloud.certificate(make_key())
    assert not cloud.ask(serial, other)["allowProvisioning"]
    assert cloud.ask(serial, cloud.certificate(key))["allowProvisioning"]
    later = time.time() + 601
    monkeypatch.setattr(time, "time", lambda: later)
    assert cloud.ask(serial, other)["allowProvisioning"]


def test_of_many_at_once_one_key_registers(cloud: Cloud) -> None:
    serial = f"s{next(serials)}"
    made = [cloud.certificate(make_key()) for _ in range(6)]
    cloud.ask("warm", made[0])
    barrier, yes = threading.Barrier(len(made)), []

    def come(one: Reply) -> None:
        barrier.wait()
        if cloud.ask(serial, one)["allowProvisioning"]:
            yes.append(one["certificateId"])

    for _ in range(2):  # a thing that is not there, then one whose marker is void
        threads = [threading.Thread(target=come, args=(each,)) for each in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(yes) == 1
        yes.clear()
        cloud.mark(serial, at=1)


def test_list_pattern_and_template_without_memory_work(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.body = template_body(NAMES, Registry(thing_type="vans", thing_group="north"))
    cloud.iot.create_thing_type(thingTypeName="vans")
    cloud.iot.create_thing_group(thingGroupName="north")
    cloud.rules = Rules(pattern="s[0-9]+")
    set_rules(cloud, monkeypatch)
    assert not cloud.allows("x1", cloud.certificate(make_key()))
    serial, key, _made = cloud.in_service()
    thing = cloud.iot.describe_thing(thingName=f"hook-{serial}")
    assert (thing["thingTypeName"], thing["attributes"]["serialNumber"]) == ("vans", serial)
    groups = cloud.iot.list_thing_groups_for_thing(thingName=f"hook-{serial}")["thingGroups"]
    assert [group["groupName"] for group in groups] == ["north"]
    assert not cloud.registration(serial).given
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    assert cloud.allows(serial, cloud.certificate(key))


def test_error_of_the_registry_is_raised_and_logged(
    cloud: Cloud,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = cloud.certificate(make_key())
    iam = aws_client(sandbox, "iam")
    iam.create_user(UserName="nobody")
    nobody = iam.create_access_key(UserName="nobody")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", nobody["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", nobody["SecretAccessKey"])
    registry.client.cache_clear()
    with pytest.raises(ClientError, match="not authorized"):
        cloud.ask("s-err", made)
    said = json.loads(capsys.readouterr().out)
    assert "allowed" not in said
    assert said["serial"] == "s-err"
    assert "not authorized" in said["error"]
    assert "BEGIN" not in json.dumps(said)


@pytest.mark.parametrize("serial", ["a b", "a/b", "ü", "a" * 129])
def test_device_that_no_thing_can_be_made_of_is_refused_for_good(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], serial: str
) -> None:
    assert not cloud.allows(serial, cloud.certificate(make_key()))
    said = json.loads(capsys.readouterr().out)
    assert said["why"].startswith(f"AWS IoT takes no name 'hook-{serial}'")


def test_slow_registry_is_an_error_in_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cloud.certificate(make_key())
    monkeypatch.setattr(registry, "LAST_BEGINNING_SECONDS", -1.0)
    with pytest.raises(registry.TooSlowError):
        cloud.ask("s-slow", made)
