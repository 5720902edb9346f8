"""config.yaml, read by the agent that it is written for."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_agent.config.load import load
from fleet_cloud.errors import UsageError
from fleet_cloud.fleet.configuration import (
    DeviceConfiguration,
    Endpoint,
    endpoint,
    remembered,
    render,
)

SAID = DeviceConfiguration(
    endpoint=Endpoint("a1b2c3-ats.iot.eu-west-1.amazonaws.com", 8883),
    ca_file=None,
    claim_certificate="claim/claim.certificate.pem.crt",
    claim_key="claim/claim.private.pem.key",
    template="fleet",
    spread="20m50s",
    spread_reason="10000 devices",
)


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(render(dataclasses.replace(SAID, **changes)))
    return path


def test_agent_takes_every_line(tmp_path: Path) -> None:
    settings = load(written(tmp_path))
    assert settings.endpoint == "a1b2c3-ats.iot.eu-west-1.amazonaws.com"
    assert (settings.port, settings.ca_file) == (8883, None)
    assert settings.claim is not None
    assert settings.claim.certificate == str(tmp_path / "claim/claim.certificate.pem.crt")
    assert settings.claim.private_key == str(tmp_path / "claim/claim.private.pem.key")
    assert settings.provisioning is not None
    assert settings.provisioning.template == "fleet"
    assert settings.provisioning.spread == 1250
    assert list(settings.provisioning.parameters) == ["SerialNumber"]
    assert settings.telemetry.topic == "dt/{thing}/{source}"
    assert settings.subscriptions[0].topic == "cmd/{thing}/#"


@pytest.mark.parametrize("template", ["null", "no", "007", "1e3", "0x1f", "True"])
def test_name_that_yaml_would_take_for_something_else_stays_a_name(
    tmp_path: Path, template: str
) -> None:
    provisioning = load(written(tmp_path, template=template)).provisioning
    assert provisioning is not None
    assert provisioning.template == template


def test_path_with_spaces_quotes_and_umlauts_arrives(tmp_path: Path) -> None:
    path = '/media/a: "b" # ü \\/ca.pem'
    assert load(written(tmp_path, ca_file=path)).ca_file == path


@pytest.mark.parametrize(
    "odd", ["\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\U000e0001", "\ufeff"]
)
def test_character_that_is_not_printable_is_no_part_of_the_text_and_arrives(
    tmp_path: Path, odd: str
) -> None:
    path = written(tmp_path, template=f"a{odd}b")
    assert path.read_text().replace("\n", "").isprintable()
    provisioning = yaml.safe_load(path.read_text())["provisioning"]
    assert provisioning["template"] == f"a{odd}b"


def test_address_is_taken_as_the_endpoint(tmp_path: Path) -> None:
    assert load(written(tmp_path, endpoint=Endpoint("::1", 1883))).endpoint == "::1"


@pytest.mark.parametrize(
    ("given", "host", "port"),
    [
        ("localhost", "localhost", 8883),
        ("localhost:18883", "localhost", 18883),
        ("a1-ats.iot.eu-west-1.amazonaws.com:443", "a1-ats.iot.eu-west-1.amazonaws.com", 443),
        ("127.0.0.1:8884", "127.0.0.1", 8884),
        ("[::1]:8884", "::1", 8884),
        ("[::1]", "::1", 8883),
        ("fe80::1", "fe80::1", 8883),
    ],
)
def test_endpoint_is_a_host_and_perhaps_a_port(given: str, host: str, port: int) -> None:
    assert endpoint(given) == Endpoint(host, port)


@pytest.mark.parametrize(
    "given",
    ["", "https://x", "x/y", "x:", "x:abc", "x:0", "x:65536", ":8883", "a b", "[::1", "-x", "x\n"],
)
def test_other_endpoint_is_refused_with_its_form(given: str) -> None:
    with pytest.raises(UsageError) as refused:
        endpoint(given)
    assert "HOST:PORT" in refused.value.remedy


@pytest.mark.parametrize("ca_file", [None, "ca.pem", '/media/a "b"/ca.pem'])
@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_endpoint_and_ca_are_remembered(host: str, ca_file: str | None) -> None:
    said = dataclasses.replace(SAID, endpoint=Endpoint(host, 443), ca_file=ca_file)
    place, ca = remembered(render(said))
    assert place is not None
    assert endpoint(place) == Endpoint(host, 443)
    assert ca == ca_file


@pytest.mark.parametrize("written", ["", "endpoint: a\n", 'endpoint: "a"\nport: x\n'])
def test_what_somebody_else_wrote_is_not_remembered(written: str) -> None:
    assert remembered(written) == (None, None)
