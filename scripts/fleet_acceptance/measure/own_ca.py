"""Certificates of one's own CA that AWS IoT registers when their devices first connect (just-in-time provisioning)."""

import datetime as dt
import json
import time

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleet_acceptance.account import tags
from fleet_acceptance.account.cloud import code_of
from fleet_acceptance.device import keys
from fleet_acceptance.device.mqtt import Identity
from fleet_acceptance.measure.bench import Bench, moment
from fleet_acceptance.measure.sessions import connecting

_LONGEST_SECONDS = 90.0
_SANDBOX_SECONDS = 0.0
_LIFE = dt.timedelta(days=2)
_ABSENT = "ResourceNotFoundException"


class OwnCa:
    """A CA of the run, registered for this region's endpoint alone."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{bench.run.id} CA")])
        self._certificate = self._sign(self._name, self._key.public_key(), is_ca=True)

    def register(self, template: object) -> None:
        """Has AWS IoT register what this CA signs, with a template's body."""
        run = self._bench.run
        role = run.cloud.arn(f"role/{run.id}-provisioning", "iam")
        self._bench.iot.register_ca_certificate(
            caCertificate=_pem(self._certificate),
            setAsActive=True,
            allowAutoRegistration=True,
            certificateMode="SNI_ONLY",
            registrationConfig={"templateBody": json.dumps(template), "roleArn": role},
            tags=tags.mine(run.id),
        )

    def device(self, serial: str, *, named: bool = True) -> tuple[Identity, str]:
        """Makes a device's certificate; it is recorded before AWS IoT can know it."""
        key = self._bench.key(serial)
        request = x509.load_pem_x509_csr(key.request.encode())
        fields = (
            [x509.NameAttribute(NameOID.COMMON_NAME, self._bench.thing(serial))] if named else []
        )
        subject = x509.Name([*fields, x509.NameAttribute(NameOID.ORGANIZATION_NAME, "acceptance")])
        pem = _pem(self._sign(subject, request.public_key(), is_ca=False))
        found = keys.fingerprint(pem)
        self._bench.run.folder.add(found)
        return key.identity(pem), found

    def _sign(self, subject: x509.Name, public: object, *, is_ca: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)  # type: ignore[arg-type]  # a request's is of any kind
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + _LIFE)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


def measure(bench: Bench) -> None:
    """Connects for the first time: with a certificate that fits the template, and with one that does not."""
    run = bench.run
    facts = ("own-ca-first-connect", "own-ca-registered", "own-ca-misfit", "own-ca-misfit-connect")
    with run.measuring(*facts):
        own = OwnCa(bench)
        own.register(_template(bench))
        device, certificate_id = own.device("by-own-ca")
        run.record("own-ca-first-connect", connecting(bench, device, bench.thing("by-own-ca")))
        began = time.monotonic()
        states = _states(bench, certificate_id)
        seconds = time.monotonic() - began
        is_active = states[-1:] == ["ACTIVE"]
        words = moment(states[:-1], seconds) if is_active else f"stays {states[-1]}"
        run.record("own-ca-registered", words, states=states, seconds=round(seconds, 1))
        misfit, misfit_id = own.device("misfit", named=False)
        first = connecting(bench, misfit, bench.thing("misfit"))
        states = _states(bench, misfit_id)
        run.record("own-ca-misfit", states[-1], first=first, states=states)
        run.record("own-ca-misfit-connect", connecting(bench, misfit, bench.thing("misfit")))


def _template(bench: Bench) -> object:
    """A template whose thing is called as the subject says: without a common name there is none."""
    name = "AWS::IoT::Certificate::CommonName"
    identifier = "AWS::IoT::Certificate::Id"
    return {
        "Parameters": {name: {"Type": "String"}, identifier: {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": name}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": identifier}, "Status": "ACTIVE"},
            },
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": {"PolicyName": f"{bench.run.id}-device"},
            },
        },
    }


def _states(bench: Bench, certificate_id: str) -> list[str]:
    """Looks at a certificate each second until it is active; AWS registers it within seconds."""
    longest = _LONGEST_SECONDS if bench.run.result.against == "account" else _SANDBOX_SECONDS
    until, states = time.monotonic() + longest, [_state(bench, certificate_id)]
    while states[-1] != "ACTIVE" and time.monotonic() < until:
        time.sleep(1.0)
        states.append(_state(bench, certificate_id))
    return states


def _state(bench: Bench, certificate_id: str) -> str:
    try:
        found = bench.iot.describe_certificate(certificateId=certificate_id)
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return "not registered"
        raise
    return str(found["certificateDescription"]["status"])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
