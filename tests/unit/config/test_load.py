import dataclasses
from pathlib import Path

import pytest

from fleet_agent.config.load import load
from fleet_agent.config.provisioning import Claim, Key, Provisioning
from fleet_agent.config.readings import FromSystem, SystemSource
from fleet_agent.config.settings import Settings
from fleet_agent.config.sources import (
    DeviceTree,
    Dmi,
    FirstOf,
    FromCommand,
    FromEnvironment,
    FromFile,
    Mac,
    MachineId,
)
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.config.telemetry import Telemetry
from fleet_agent.errors import ConfigurationError, Exit
from support.configurations import Folder

EVERYTHING = """
endpoint: a1b2c3-ats.iot.eu-west-1.amazonaws.com
port: 443
ca_file: /etc/ca.pem
proxy: http://proxy.example.com:3128
claim:
  certificate: claim/claim.pem.crt
  private_key: credential:claim-key
  after_success: keep
provisioning:
  template: fleet-v1
  method: keys
  key: {type: rsa-2048, store: file}
  parameters:
    Place: Seattle
    Serial:
      first_of:
        - device_tree: serial-number
        - {dmi: product_serial}
        - machine_id: app
        - fallback
    Site: {file: site-code}
    Line: {env: LINE}
    Revision: {command: [cat, /etc/revision], timeout: 1500ms}
    Mac: {mac: auto}
  spread: 1h30m
telemetry:
  topic: dt/{thing}/{certificate_id}/{source}
  sources: [{system: {interval: 5m}}]
subscriptions:
  - {topic: "cmd/{thing}/#", qos: 0, log: no}
  - topic: $share/g/all/+
state_dir: /data/agent
runtime_dir: /run/agent
"""


def test_a_file_that_says_everything(folder: Folder) -> None:
    here = folder.path
    assert folder.load(EVERYTHING) == Settings(
        endpoint="a1b2c3-ats.iot.eu-west-1.amazonaws.com",
        port=443,
        ca_file="/etc/ca.pem",
        proxy="http://proxy.example.com:3128",
        claim=Claim(
            certificate=str(here / "claim/claim.pem.crt"), private_key="credential:claim-key"
        ),
        provisioning=Provisioning(
            template="fleet-v1",
            method="keys",
            key=Key(type="rsa-2048"),
            parameters={
                "Place": "Seattle",
                "Serial": FirstOf(
                    first_of=(
                        DeviceTree(device_tree="serial-number"),
                        Dmi(dmi="product_serial"),
                        MachineId(machine_id="app"),
                        "fallback",
                    )
                ),
                "Site": FromFile(file=str(here / "site-code")),
                "Line": FromEnvironment(env="LINE"),
                "Revision": FromCommand(command=("cat", "/etc/revision"), timeout=1.5),
                "Mac": Mac(mac="auto"),
            },
            spread=5400.0,
        ),
        telemetry=Telemetry(
            topic="dt/{thing}/{certificate_id}/{source}",
            sources=(FromSystem(system=SystemSource(interval=300.0)),),
        ),
        subscriptions=(
            Subscription(topic="cmd/{thing}/#", qos=0, log=False),
            Subscription(topic="$share/g/all/+"),
        ),
        state_dir="/data/agent",
        runtime_dir="/run/agent",
    )


def test_a_file_with_the_endpoint_alone_leaves_every_default(folder: Folder) -> None:
    assert folder.load("endpoint: a.example\n") == Settings(endpoint="a.example")


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(folder: Folder) -> None:
    assert folder.load(b"\xef\xbb\xbfendpoint: a.example\r\nport: 443\r\n").port == 443


def test_an_alias_stands_for_its_anchor(folder: Folder) -> None:
    text = "endpoint: a.example\nstate_dir: &dir /data\nruntime_dir: *dir\n"
    assert folder.load(text).runtime_dir == "/data"


def test_null_is_taken_where_a_key_has_no_value_by_default(folder: Folder) -> None:
    text = "endpoint: a.example\nproxy: null\nca_file:\nclaim: ~\nprovisioning: null\n"
    assert folder.load(text) == Settings(endpoint="a.example")


def test_every_error_is_told_at_once_in_the_order_of_the_file(folder: Folder) -> None:
    text = """\
endpoint: https://abc-ats.iot.eu-west-1.amazonaws.com:8883/x
prot: 443
port: 99999
template: fleet-v1
claim:
  certificat: a.pem
  private_key: pkcs11:token=a
provisioning:
  template: my template
  method: csrr
  spread: 60
  key: {type: rsa-4096}
  parameters:
    A: no
    B: {dim: x}
endpoint: other.example
"""
    found = folder.problems(text)
    assert [line.split(": ")[:2] for line in found] == [
        ["config.yaml:1:11", "endpoint"],
        ["config.yaml:2:1", "prot"],
        ["config.yaml:3:7", "port"],
        ["config.yaml:4:1", "template"],
        ["config.yaml:6:3", "claim.certificat"],
        ["config.yaml:7:16", "claim.private_key"],
        ["config.yaml:9:13", "provisioning.template"],
        ["config.yaml:10:11", "provisioning.method"],
        ["config.yaml:11:11", "provisioning.spread"],
        ["config.yaml:12:15", "provisioning.key.type"],
        ["config.yaml:14:8", "provisioning.parameters.A"],
        ["config.yaml:15:9", "provisioning.parameters.B.dim"],
        ["config.yaml:16:1", "endpoint"],
    ]


def test_the_error_counts_and_names_the_file_and_ends_with_78(folder: Folder) -> None:
    folder.write("prot: 1\nendpoint: ''\n")
    with pytest.raises(ConfigurationError, match=r"config\.yaml has 2 errors") as caught:
        folder.load()
    assert caught.value.exit_status is Exit.WRONG_ON_DEVICE
    assert caught.value.code == "configuration"
    path = folder.path / "config.yaml"
    assert caught.value.remedy.endswith(f": fleet-agent config check --config {path}")


def test_an_unknown_key_gets_the_key_that_was_meant(folder: Folder) -> None:
    assert folder.problems("end-point: a.example\n") == [
        "config.yaml:1:1: end-point: is an unknown key (did you mean endpoint?)"
    ]
    assert folder.problems("endpoint: a.example\ncaFile: x\n") == [
        "config.yaml:2:1: caFile: is an unknown key (did you mean ca_file?)"
    ]


def test_a_key_in_the_wrong_section_is_told_where_it_belongs(folder: Folder) -> None:
    (line,) = folder.problems("endpoint: a.example\nmethod: csr\n")
    assert line.endswith("method: is an unknown key (it belongs under provisioning)")


def test_a_key_like_no_other_gets_the_list(folder: Folder) -> None:
    (line,) = folder.problems(
        "endpoint: a.example\ntelemetry: {zzz: 1}\n",
    )
    assert line.endswith(
        "telemetry.zzz: is an unknown key (known keys: topic, sources, queue, batch,"
        " limits, drain, when_refused, prometheus_file)"
    )


def test_a_missing_key_is_shown_as_it_would_be_written_and_as_a_flag(folder: Folder) -> None:
    (line,) = folder.problems("endpoint: a.example\nclaim: {certificate: x}\n")
    assert line == (
        "config.yaml:2:8: claim.private_key: is missing"
        " (write, for example, private_key: credential:claim-key or pass --key)"
    )


def test_a_key_that_no_flag_stands_for_is_shown_as_it_would_be_written(folder: Folder) -> None:
    (line,) = folder.problems(
        "endpoint: a.example\nmove: {allowed: {there: {endpoint: b.example, template: t}}}\n"
    )
    assert "move.allowed.there.claim: is missing (write, for example, claim: {" in line
    assert "or give" not in line


def test_a_duplicate_key_names_the_first_one_and_both_values_are_not_mixed(folder: Folder) -> None:
    (line,) = folder.problems("endpoint: a.example\nclaim: null\nclaim: null\n")
    assert line == "config.yaml:3:1: claim: appears twice, first on line 2 (keep one of them)"


def test_a_duplicate_key_deep_inside_is_found(folder: Folder) -> None:
    text = "endpoint: a.example\nsubscriptions:\n  - {topic: a, qos: 0, qos: 1}\n"
    (line,) = folder.problems(text)
    assert line.startswith("config.yaml:3:24: subscriptions.0.qos: appears twice")


def test_a_section_written_with_nothing_below_it_is_told_its_keys(folder: Folder) -> None:
    (line,) = folder.problems("endpoint: a.example\ntelemetry:\n")
    assert line == (
        "config.yaml:2:11: telemetry: is empty; a mapping is expected (keys: topic, sources, queue, batch,"
        " limits, drain, when_refused, prometheus_file)"
    )


def test_flags_go_over_the_file(folder: Folder) -> None:
    folder.write(EVERYTHING)
    settings = folder.load(
        overrides={
            "port": 8883,
            "provisioning.template": "other",
            "provisioning.parameters": {"Place": "Oslo"},
            "ca_file": None,  # not given
        }
    )
    assert settings.port == 8883
    assert settings.ca_file == "/etc/ca.pem"
    assert settings.provisioning
    assert settings.provisioning.template == "other"
    assert settings.provisioning.parameters["Place"] == "Oslo"
    assert settings.provisioning.parameters["Mac"] == Mac(mac="auto")


def test_a_wrong_flag_is_reported_by_its_own_name_after_the_file(folder: Folder) -> None:
    overrides = {
        "port": 0,
        "claim.certificate": "c.pem",
        "provisioning.template": "a b",
        "provisioning.parameters": {"A": 1},
    }
    found = folder.problems("endpoint: 'a b'\n", overrides)
    assert [line.partition(" (")[0] for line in found] == [
        "config.yaml:1:11: endpoint: is not a host name",
        "--port: is 0, which is out of range: 1 to 65535",
        "--cert: claim.private_key: is missing",
        "--template-name: is not a template name: 1 to 36 of the characters 0-9 A-Z a-z _ -",
        "--template-parameters: provisioning.parameters.A: is 1, which YAML reads as a number; a string is expected",
    ]


def test_flags_alone_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = {
        "endpoint": "a.example",
        "claim.certificate": "claim.pem",
        "claim.private_key": "/k.pem",
    }
    settings = load(tmp_path / "config.yaml", overrides=flags, required=False)
    claim = Claim(certificate=str(tmp_path / "claim.pem"), private_key="/k.pem")
    assert settings == Settings(endpoint="a.example", claim=claim)


def test_flags_alone_that_do_not_say_enough(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "none.yaml", overrides={"port": 443}, required=False)
    (line,) = caught.value.problems
    assert "none.yaml (does not exist): endpoint: is missing" in line
    assert "--endpoint" in line


def test_a_file_that_need_not_exist_but_is_broken_is_not_passed_over(folder: Folder) -> None:
    folder.write("prot: 1\n")
    with pytest.raises(ConfigurationError):
        load(folder.file, overrides={"endpoint": "a.example"}, required=False)


def test_settings_are_frozen(folder: Folder) -> None:
    settings = folder.load("endpoint: a.example\n")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
